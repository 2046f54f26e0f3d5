package httpserver

import (
	"errors"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/labstack/echo/v4"
)

// canonicalPath is the path with each segment escaped in one way. The router then sees one spelling of a
// route, and path parameters are always escaped, so that they are unescaped exactly once: net/http leaves
// RawPath empty for some paths, and "100%25" and "a%2Fb" would otherwise be told apart by guessing.
func canonicalPath(u *url.URL) string {
	segments := strings.Split(u.EscapedPath(), "/")
	for i, segment := range segments {
		if plain, err := url.PathUnescape(segment); err == nil {
			segments[i] = url.PathEscape(plain)
		}
	}
	return strings.Join(segments, "/")
}

// routed is the request as the router sees it. HEAD is answered as GET would be (RFC 9110, section 9.3.2),
// by the same routes and the same checks; the writer leaves the body out.
func routed(r *http.Request) *http.Request {
	if r.Method != http.MethodHead {
		return r
	}
	get := r.WithContext(r.Context())
	get.Method = http.MethodGet
	return get
}

// allowHead names HEAD beside GET where the router lists a route's methods, since it knows of none.
func allowHead(h http.Header) {
	allow := h.Get(echo.HeaderAllow)
	if methods := strings.Split(allow, ", "); slices.Contains(methods, http.MethodGet) && !slices.Contains(methods, http.MethodHead) {
		h.Set(echo.HeaderAllow, allow+", "+http.MethodHead)
	}
}

// noteRoute keeps the pattern that fitted. Echo gives a pattern's last parameter all that is left of the
// path; one that holds a slash is more segments than the pattern has, and no such path.
func noteRoute(next echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) error {
		for i, value := range c.ParamValues() {
			if c.ParamNames()[i] != "*" && strings.Contains(value, "/") {
				return echo.ErrNotFound
			}
		}
		if c.Path() != "" {
			ExchangeOf(c.Request().Context()).Route = pattern(c.Path())
		}
		return next(c)
	}
}

// pattern spells a route of the router as a specification does: "/v1/events/{eventId}".
func pattern(route string) string {
	segments := strings.Split(route, "/")
	for i, s := range segments {
		if strings.HasPrefix(s, ":") {
			segments[i] = "{" + s[1:] + "}"
		}
	}
	return strings.Join(segments, "/")
}

// peekBody looks whether a body that was announced without a length has a first byte. Gateways announce an
// empty one with every GET. It waits for the caller, and so is called before the request takes a place.
func peekBody(r *http.Request) {
	if r.ContentLength >= 0 || r.Body == nil || r.Method != http.MethodGet && r.Method != http.MethodHead {
		return
	}
	var first [1]byte
	switch _, err := io.ReadFull(r.Body, first[:]); {
	case errors.Is(err, io.EOF):
		r.Body, r.ContentLength = http.NoBody, 0
	case err != nil:
		r.Body = brokenBody{r.Body}
	}
}

// brokenBody is a body that was announced and can't be read: it is malformed, or does not come in time.
type brokenBody struct{ io.ReadCloser }

// refuseBody refuses a body where none can be meant.
func refuseBody(next echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) error {
		r := c.Request()
		if _, broken := r.Body.(brokenBody); broken {
			return echo.NewHTTPError(http.StatusBadRequest)
		}
		if r.Method == http.MethodGet && r.ContentLength != 0 { // HEAD is GET here
			return echo.NewHTTPError(http.StatusRequestEntityTooLarge)
		}
		return next(c)
	}
}
