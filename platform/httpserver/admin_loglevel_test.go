package httpserver

import (
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/require"
)

// The port asks for no credential: only the machine itself may change the level.
func TestLogLevel(t *testing.T) {
	level := new(slog.LevelVar)
	a := NewAdmin(AdminOptions{}, AdminDeps{Log: slog.New(slog.DiscardHandler), Metrics: prometheus.NewRegistry(), Level: level})
	host := "127.0.0.1:9090"
	ask := func(method, from, body string, header ...string) (int, string) {
		r := httptest.NewRequestWithContext(t.Context(), method, "/loglevel", strings.NewReader(body))
		r.RemoteAddr, r.Host = from, host
		if len(header) > 0 {
			r.Header.Set(header[0], "192.0.2.1")
		}
		w := httptest.NewRecorder()
		a.server.Handler.ServeHTTP(w, r)
		return w.Code, w.Body.String()
	}
	for _, c := range []struct {
		name, from, body string
		header           []string
		status           int
		after            slog.Level
	}{
		{"loopback", "127.0.0.1:5", `{"level":"debug"}`, nil, 200, slog.LevelDebug},
		{"loopback, IPv6", "[::1]:5", `{"level":"warn"}`, nil, 200, slog.LevelWarn},
		{"loopback, mapped", "[::ffff:127.0.0.9]:5", `{"level":"error"}`, nil, 200, slog.LevelError},
		{"another machine", "192.0.2.7:5", `{"level":"debug"}`, nil, 403, slog.LevelInfo},
		{"a proxy here", "127.0.0.1:5", `{"level":"debug"}`, []string{"X-Forwarded-For"}, 403, slog.LevelInfo},
		{"a proxy here that says so otherwise", "127.0.0.1:5", `{"level":"debug"}`, []string{"Forwarded"}, 403, slog.LevelInfo},
		{"no address", "pipe", `{"level":"debug"}`, nil, 403, slog.LevelInfo},
		{"no level", "127.0.0.1:5", `{"level":"loud"}`, nil, 400, slog.LevelInfo},
		{"more than a level", "127.0.0.1:5", `{"level":"debug","for":"1h"}`, nil, 400, slog.LevelInfo},
		{"no JSON", "127.0.0.1:5", `debug`, nil, 400, slog.LevelInfo},
		{"too long", "127.0.0.1:5", `{"level":"` + strings.Repeat("x", maxLevelBody) + `"}`, nil, 400, slog.LevelInfo},
	} {
		t.Run(c.name, func(t *testing.T) {
			level.Set(slog.LevelInfo)
			status, body := ask(http.MethodPut, c.from, c.body, c.header...)
			require.Equal(t, c.status, status, body)
			require.Equal(t, c.after, level.Level())
			status, body = ask(http.MethodGet, "192.0.2.7:5", "")
			require.Equal(t, 200, status)
			require.JSONEq(t, `{"level":"`+strings.ToLower(c.after.String())+`"}`, body)
		})
	}
	for name, status := range map[string]int{
		"localhost:9090": 200, "LocalHost": 200, "127.0.0.1": 200, "[::1]:9090": 200, "[::1]": 200, "[::ffff:127.0.0.1]:9090": 200,
		"rebound.example:9090": 403, "127.0.0.1.rebound.example": 403, "localhost.example:9090": 403, "192.0.2.1:9090": 403, "": 403,
	} {
		host = name
		got, body := ask(http.MethodPut, "127.0.0.1:5", `{"level":"debug"}`)
		require.Equal(t, status, got, "Host %q: %s", name, body)
	}
}
