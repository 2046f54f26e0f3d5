package httpserver_test

import (
	"bufio"
	"io"
	"net"
	"net/http"
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
