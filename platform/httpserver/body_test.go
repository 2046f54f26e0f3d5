package httpserver_test

import (
	"bufio"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/labstack/echo/v4"
	"github.com/stretchr/testify/require"

	"audittrail/platform/httpserver"
)

// Gateways forward a GET with a body that is announced and empty. Only a body with a byte is refused, and
// the connection serves on after an empty one.
func TestAnAnnouncedEmptyBodyIsNoBody(t *testing.T) {
	s := newServer(t, httpserver.Options{}, io.Discard)
	s.Echo().GET("/x", func(c echo.Context) error { return c.NoContent(http.StatusNoContent) })
	address, _ := run(t, s)
	conn, err := net.Dial("tcp", address)
	require.NoError(t, err)
	defer func() { _ = conn.Close() }()
	require.NoError(t, conn.SetDeadline(time.Now().Add(10*time.Second)))
	answers := bufio.NewReader(conn)
	status := func(method, rest string) int {
		_, err := io.WriteString(conn, method+" /x HTTP/1.1\r\nHost: x\r\n"+rest)
		require.NoError(t, err)
		answer, err := http.ReadResponse(answers, &http.Request{Method: method})
		require.NoError(t, err)
		defer func() { _ = answer.Body.Close() }()
		_, _ = io.Copy(io.Discard, answer.Body)
		return answer.StatusCode
	}
	const chunked = "Transfer-Encoding: chunked\r\n\r\n"
	require.Equal(t, http.StatusNoContent, status(http.MethodGet, chunked+"0\r\n\r\n"))
	require.Equal(t, http.StatusNoContent, status(http.MethodHead, chunked+"0\r\n\r\n"))
	require.Equal(t, http.StatusNoContent, status(http.MethodGet, "Content-Length: 0\r\n\r\n"))
	require.Equal(t, http.StatusRequestEntityTooLarge, status(http.MethodGet, chunked+"1\r\nx\r\n0\r\n\r\n"))
	require.Equal(t, http.StatusBadRequest, status(http.MethodGet, chunked+"no length\r\n"))
}

// Over HTTP/2 such a body is a stream that ends with an empty DATA frame.
func TestAnAnnouncedEmptyBodyIsNoBodyOverHTTP2(t *testing.T) {
	s := newServer(t, httpserver.Options{}, io.Discard)
	s.Echo().GET("/x", func(c echo.Context) error { return c.NoContent(http.StatusNoContent) })
	secure := httptest.NewUnstartedServer(s)
	secure.EnableHTTP2 = true
	secure.StartTLS()
	defer secure.Close()
	for body, want := range map[string]int{"": http.StatusNoContent, "x": http.StatusRequestEntityTooLarge} {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, secure.URL+"/x", io.NopCloser(strings.NewReader(body)))
		require.NoError(t, err)
		r.ContentLength = -1
		answer, err := secure.Client().Do(r)
		require.NoError(t, err)
		require.NoError(t, answer.Body.Close())
		require.Equal(t, 2, answer.ProtoMajor)
		require.Equal(t, want, answer.StatusCode, "a body of %q", body)
	}
}

// A caller that asks first whether to send its body is answered, and told to go on only for the first byte.
func TestABodyThatIsAskedForFirst(t *testing.T) {
	s := newServer(t, httpserver.Options{}, io.Discard)
	s.Echo().GET("/x", func(c echo.Context) error { return c.NoContent(http.StatusNoContent) })
	address, _ := run(t, s)
	conn, err := net.Dial("tcp", address)
	require.NoError(t, err)
	defer func() { _ = conn.Close() }()
	require.NoError(t, conn.SetDeadline(time.Now().Add(10*time.Second)))
	answers := bufio.NewReader(conn)
	_, err = io.WriteString(conn, "GET /x HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nTransfer-Encoding: chunked\r\n\r\n")
	require.NoError(t, err)
	line, err := answers.ReadString('\n')
	require.NoError(t, err)
	require.Equal(t, "HTTP/1.1 100 Continue\r\n", line)
	_, err = answers.ReadString('\n')
	require.NoError(t, err)
	_, err = io.WriteString(conn, "0\r\n\r\n")
	require.NoError(t, err)
	answer, err := http.ReadResponse(answers, nil)
	require.NoError(t, err)
	require.NoError(t, answer.Body.Close())
	require.Equal(t, http.StatusNoContent, answer.StatusCode)
}
