package httpserver_test

import (
	"io"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/labstack/echo/v4"
	"github.com/stretchr/testify/require"

	"audittrail/platform/httpserver"
)

func TestCORS(t *testing.T) {
	const mine = "https://console.example.com"
	ask := func(origins []string, method, origin string) *httptest.ResponseRecorder {
		s := newServer(t, httpserver.Options{CORSOrigins: origins}, io.Discard)
		s.Echo().GET("/x", func(c echo.Context) error { return c.NoContent(http.StatusNoContent) })
		r := httptest.NewRequest(method, "/x", nil)
		r.Header.Set("Origin", origin)
		if method == http.MethodOptions {
			r.Header.Set("Access-Control-Request-Method", "GET")
		}
		w := httptest.NewRecorder()
		s.ServeHTTP(w, r)
		require.Empty(t, w.Header().Get("Access-Control-Allow-Credentials"))
		return w
	}
	t.Run("off", func(t *testing.T) {
		require.Empty(t, ask(nil, http.MethodGet, mine).Header().Get("Access-Control-Allow-Origin"))
		require.Empty(t, ask(nil, http.MethodOptions, mine).Header().Get("Access-Control-Allow-Methods"))
	})
	t.Run("allowed", func(t *testing.T) {
		w := ask([]string{"http://other", mine}, http.MethodGet, mine)
		require.Equal(t, mine, w.Header().Get("Access-Control-Allow-Origin"))
		require.Contains(t, w.Header().Get("Access-Control-Expose-Headers"), "ETag")
		require.Equal(t, "Origin", w.Header().Get("Vary"))
		w = ask([]string{mine}, http.MethodOptions, mine)
		require.Equal(t, http.StatusNoContent, w.Code)
		require.Equal(t, mine, w.Header().Get("Access-Control-Allow-Origin"))
		require.Contains(t, w.Header().Get("Access-Control-Allow-Headers"), "Authorization")
		require.Contains(t, w.Header().Get("Access-Control-Allow-Methods"), "GET")
	})
	for _, origin := range []string{"https://console.example.com.evil.example", "http://console.example.com", "https://CONSOLE.example.com", "null", ""} {
		t.Run("not allowed: "+origin, func(t *testing.T) {
			w := ask([]string{mine}, http.MethodGet, origin)
			require.Empty(t, w.Header().Get("Access-Control-Allow-Origin"))
			require.Equal(t, "Origin", w.Header().Get("Vary"), "a cache must not give it to the allowed one")
			require.Empty(t, ask([]string{mine}, http.MethodOptions, origin).Header().Get("Access-Control-Allow-Methods"))
		})
	}
}

func TestCORSOriginsMustBeExact(t *testing.T) {
	for origin, ok := range map[string]bool{
		"https://a.example": true, "http://localhost:3000": true, "https://a.example:8443": true, "http://[::1]:3000": true,
		"*": false, "null": false, "": false, "a.example": false, "https://a.example/": false, "https://*.example": false,
		"https://a.example:443": false, "http://a.example:80": false, "ftp://a.example": false, "https://u@a.example": false, "https://a.example?x": false,
	} {
		err := httpserver.Options{Addr: ":0", MaxRequests: 1, CORSOrigins: []string{origin}}.Validate()
		require.Equal(t, ok, err == nil, "%s: %v", origin, err)
	}
}

func TestSecurityHeadersAreOnEveryAnswer(t *testing.T) {
	s := newServer(t, httpserver.Options{TLSTerminated: true}, io.Discard)
	s.Echo().GET("/x", func(c echo.Context) error { return c.String(http.StatusOK, "x") })
	s.Echo().GET("/panic", func(echo.Context) error { panic("x") })
	for path, status := range map[string]int{"/x": 200, "/nowhere": 404, "/panic": 500} {
		w := httptest.NewRecorder()
		s.ServeHTTP(w, httptest.NewRequest(http.MethodGet, path, nil))
		require.Equal(t, status, w.Code)
		for name, want := range map[string]string{
			"X-Content-Type-Options": "nosniff", "X-Frame-Options": "DENY", "Referrer-Policy": "no-referrer", "Cross-Origin-Resource-Policy": "same-origin",
			"Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'", "Strict-Transport-Security": "max-age=31536000",
		} {
			require.Equal(t, want, w.Header().Get(name), "%s of %s", name, path)
		}
	}
}
