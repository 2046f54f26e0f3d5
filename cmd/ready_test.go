package cmd

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestReady(t *testing.T) {
	status := http.StatusOK
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/readyz" {
			w.WriteHeader(http.StatusNotFound)
			return
		}
		w.WriteHeader(status)
		_, _ = fmt.Fprintln(w, `{"roles":[]}`)
	}))
	defer server.Close()
	address := strings.TrimPrefix(server.URL, "http://")

	out, errs, exit := call(t, "ready", "--admin.addr", address)
	require.Equal(t, 0, exit, errs)
	require.JSONEq(t, `{"roles":[]}`, out)

	_, port, _ := strings.Cut(address, ":")
	_, errs, exit = call(t, "ready", "--admin.addr", ":"+port)
	require.Equal(t, 0, exit, errs)

	status = http.StatusServiceUnavailable
	out, errs, exit = call(t, "ready", "--admin.addr", address)
	require.Equal(t, 1, exit)
	require.NotEmpty(t, out, "the reasons")
	require.Contains(t, errs, "not ready")

	server.Close()
	_, errs, exit = call(t, "ready", "--admin.addr", address)
	require.Equal(t, 1, exit)
	require.Contains(t, errs, "no serve answers")

	_, _, exit = call(t, "ready", "--admin.tls.cert", "a", "--admin.tls.key", "b")
	require.Equal(t, 2, exit)
}
