package httpserver_test

import (
	"bufio"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"audittrail/platform/httpserver"
)

// What net/http refuses by itself, below any handler, is a problem document too.
func TestRequestsThatCanNotBeReadGetProblems(t *testing.T) {
	address, _ := run(t, newServer(t, httpserver.Options{}, io.Discard))
	for request, status := range map[string]int{
		"nonsense\r\n\r\n":       400,
		"GET / HTTP/1.1\r\n\r\n": 400, // without a host
		"GET / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: gzip\r\n\r\n":                501,
		"GET / HTTP/1.1\r\nHost: x\r\nX: " + strings.Repeat("x", 64<<10) + "\r\n\r\n": 431,
	} {
		conn, err := net.Dial("tcp", address)
		require.NoError(t, err)
		require.NoError(t, conn.SetDeadline(time.Now().Add(10*time.Second)))
		_, err = io.WriteString(conn, request)
		require.NoError(t, err)
		answer, err := http.ReadResponse(bufio.NewReader(conn), nil)
		require.NoError(t, err)
		require.Equal(t, status, answer.StatusCode)
		require.Equal(t, "application/problem+json", answer.Header.Get("Content-Type"))
		var p struct {
			Status              int
			Code, CorrelationID string
		}
		require.NoError(t, json.NewDecoder(answer.Body).Decode(&p))
		require.Equal(t, status, p.Status)
		require.NoError(t, answer.Body.Close())
		require.Equal(t, "invalid_request", p.Code)
		require.Equal(t, answer.Header.Get("X-Correlation-Id"), p.CorrelationID)
		require.NoError(t, conn.Close())
	}
}
