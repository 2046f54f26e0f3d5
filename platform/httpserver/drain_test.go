package httpserver_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"io"
	"net/http"
	"net/http/httptrace"
	"os"
	"testing"
	"time"

	"github.com/labstack/echo/v4"
	"github.com/stretchr/testify/require"

	"audittrail/platform/httpserver"
)

// TestDrainClosesConnectionsAsAnswersLeave asks by a kept connection, of HTTP/1.1 and of HTTP/2.
func TestDrainClosesConnectionsAsAnswersLeave(t *testing.T) {
	certificate, opts := newPair(t, 1), tlsOptions(t)
	certificate.write(t, opts)
	roots := x509.NewCertPool()
	roots.AddCert(certificate.parsed)
	for name, http2 := range map[string]bool{"HTTP/1.1": false, "HTTP/2": true} {
		t.Run(name, func(t *testing.T) {
			s := newServer(t, httpserver.Options{TLS: opts}, io.Discard)
			s.Echo().GET("/x", func(c echo.Context) error { return c.String(http.StatusOK, "x") })
			address, _ := run(t, s)
			transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots}, ForceAttemptHTTP2: http2}
			defer transport.CloseIdleConnections()
			reused := func() (kept bool) {
				t.Helper()
				ctx := httptrace.WithClientTrace(context.Background(), &httptrace.ClientTrace{GotConn: func(i httptrace.GotConnInfo) { kept = i.Reused }})
				request, err := http.NewRequestWithContext(ctx, http.MethodGet, "https://"+address+"/x", nil)
				require.NoError(t, err)
				response, err := transport.RoundTrip(request)
				require.NoError(t, err)
				body, err := io.ReadAll(response.Body)
				require.NoError(t, err)
				require.NoError(t, response.Body.Close())
				require.Equal(t, "x", string(body))
				require.Equal(t, http2, response.ProtoMajor == 2)
				return kept
			}
			require.False(t, reused())
			require.True(t, reused(), "the connection is kept")
			s.Drain()
			reused() // by the kept connection, since nobody has told the client yet
			require.Eventually(t, func() bool { return !reused() }, time.Minute, 10*time.Millisecond, "the client is told to come by another connection")
		})
	}
}

// TestReloadReadsCertificates replaces the files by others of the same size and time, which looking at the
// files does not tell.
func TestReloadReadsCertificates(t *testing.T) {
	opts := tlsOptions(t)
	first, second := newPair(t, 1), newPair(t, 2)
	first.write(t, opts)
	s := newServer(t, httpserver.Options{TLS: opts}, io.Discard)
	require.NoError(t, s.Reload(), "before it listens")
	address, _ := run(t, s)
	n, _, err := serial(t, address, first, nil)
	require.NoError(t, err)
	require.EqualValues(t, 1, n)

	second.write(t, opts)
	require.NoError(t, s.Reload())
	n, _, err = serial(t, address, second, nil)
	require.NoError(t, err)
	require.EqualValues(t, 2, n, "at once")

	require.NoError(t, os.WriteFile(opts.Key, []byte("broken"), 0o600))
	require.Error(t, s.Reload())
	n, _, err = serial(t, address, second, nil)
	require.NoError(t, err)
	require.EqualValues(t, 2, n, "the last good ones stay")
}
