package httpserver

import (
	"bytes"
	"crypto/rand"
	"fmt"
	"net"
	"net/http"
	"strconv"

	"audittrail/platform/errs"
)

// cannedHeaders stand behind the status line of what net/http itself answers, below any handler, to what it
// can't read. It writes such an answer in one piece, and no answer of a handler has them in this order.
const cannedHeaders = "\r\nContent-Type: text/plain; charset=utf-8\r\nConnection: close\r\n\r\n"

// maxCanned bounds the size of such an answer.
const maxCanned = 1 << 10

// problemListener has connections on which net/http's own refusals are problem documents.
type problemListener struct{ net.Listener }

func (l problemListener) Accept() (net.Conn, error) {
	conn, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return problemConn{conn}, nil
}

type problemConn struct{ net.Conn }

// Write writes p, or a problem document in its place where p is an answer of net/http's own.
func (c problemConn) Write(p []byte) (int, error) {
	code, ok := canned(p)
	if !ok {
		return c.Conn.Write(p)
	}
	if _, err := c.Conn.Write(refusal(code)); err != nil {
		return 0, err
	}
	return len(p), nil
}

// canned returns the status of an answer of net/http's own, and whether p is one.
func canned(p []byte) (int, bool) {
	const version = "HTTP/1.1 "
	if len(p) > maxCanned || !bytes.HasPrefix(p, []byte(version)) {
		return 0, false
	}
	line := bytes.IndexByte(p, '\r')
	if line < len(version)+3 || !bytes.HasPrefix(p[line:], []byte(cannedHeaders)) {
		return 0, false
	}
	code, err := strconv.Atoi(string(p[len(version) : len(version)+3]))
	return code, err == nil && code >= http.StatusBadRequest
}

// refusal returns the whole answer to a request that can't be read.
func refusal(code int) []byte {
	detail := "the request can't be read"
	if code == http.StatusRequestHeaderFieldsTooLarge {
		detail = "the request's header is larger than 32 KiB"
	}
	correlation := rand.Text()
	body := document(errs.New(errs.Invalid, "invalid_request", "%s", detail), code, correlation)
	return fmt.Appendf(nil, "HTTP/1.1 %d %s\r\nCache-Control: private, no-store\r\nConnection: close\r\nContent-Length: %d\r\n"+
		"Content-Type: application/problem+json\r\n%s: %s\r\nX-Content-Type-Options: nosniff\r\n\r\n%s",
		code, http.StatusText(code), len(body), CorrelationHeader, correlation, body)
}
