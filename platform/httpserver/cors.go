package httpserver

import (
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/labstack/echo/v4"
)

// What scripts of http.cors_origins may send and read, beside what every script may. Tokens come in a header that the
// script sets itself, so no cookies and no client certificates are let in (there is no Allow-Credentials).
const (
	corsMethods = "GET, HEAD, POST"
	corsHeaders = "Authorization, Content-Type, If-None-Match, Last-Event-ID, X-Correlation-Id"
	corsExposed = "ETag, RateLimit, RateLimit-Policy, Retry-After, WWW-Authenticate, X-Correlation-Id"
	corsMaxAge  = "600" // seconds; browsers cap it anyway
)

// isPreflight reports whether a browser asks, on behalf of a script of an allowed origin, what it may send.
func (s *Server) isPreflight(r *http.Request) bool {
	return r.Method == http.MethodOptions && r.Header.Get(echo.HeaderAccessControlRequestMethod) != "" && s.allowsOrigin(r)
}

func (s *Server) allowsOrigin(r *http.Request) bool {
	return slices.Contains(s.opts.CORSOrigins, r.Header.Get(echo.HeaderOrigin))
}

// answerPreflight answers without asking for a token: browsers send none with this question.
func answerPreflight(w http.ResponseWriter) {
	h := w.Header()
	h.Set(echo.HeaderAccessControlAllowMethods, corsMethods)
	h.Set(echo.HeaderAccessControlAllowHeaders, corsHeaders)
	h.Set(echo.HeaderAccessControlMaxAge, corsMaxAge)
	w.WriteHeader(http.StatusNoContent)
}

// corsHeaders lets the scripts of an allowed origin read the answer.
func (s *Server) corsHeaders(h http.Header, r *http.Request) {
	if len(s.opts.CORSOrigins) == 0 {
		return
	}
	h.Add(echo.HeaderVary, echo.HeaderOrigin)
	if s.allowsOrigin(r) {
		h.Set(echo.HeaderAccessControlAllowOrigin, r.Header.Get(echo.HeaderOrigin))
		h.Set(echo.HeaderAccessControlExposeHeaders, corsExposed)
	}
}

// isOrigin reports whether text is an origin as browsers write it: a scheme, a host and a port that is not the
// scheme's own. Anything else would fit no request.
func isOrigin(text string) bool {
	u, err := url.Parse(text)
	if err != nil || u.Scheme != "https" && u.Scheme != "http" || u.Hostname() == "" || strings.Contains(u.Host, "*") {
		return false
	}
	if u.Scheme == "https" && u.Port() == "443" || u.Scheme == "http" && u.Port() == "80" {
		return false
	}
	return u.Scheme+"://"+u.Host == text
}
