package client

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// servePipes is an API that is reached over pipes, for tests whose clock is synctest's: that goes on when all
// wait, which it can't tell of sockets.
func servePipes(t *testing.T, h http.HandlerFunc) *Client {
	t.Helper()
	l := pipes{made: make(chan net.Conn), closed: make(chan struct{})}
	s := &http.Server{Handler: h, ReadHeaderTimeout: time.Hour}
	ended := make(chan error, 1)
	go func() { ended <- s.Serve(l) }()
	c, err := New("http://api.test", "secret")
	require.NoError(t, err)
	transport := &http.Transport{DialContext: l.dial}
	c.http.Transport = transport
	t.Cleanup(func() {
		transport.CloseIdleConnections()
		assert.NoError(t, s.Close())
		assert.ErrorIs(t, <-ended, http.ErrServerClosed)
	})
	return c
}

// pipes is a net.Listener of pipes.
type pipes struct {
	made   chan net.Conn
	closed chan struct{}
}

func (p pipes) dial(ctx context.Context, _, _ string) (net.Conn, error) {
	client, server := net.Pipe()
	select {
	case p.made <- server:
		return client, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

func (p pipes) Accept() (net.Conn, error) {
	select {
	case c := <-p.made:
		return c, nil
	case <-p.closed:
		return nil, net.ErrClosed
	}
}

func (p pipes) Close() error {
	close(p.closed)
	return nil
}

func (p pipes) Addr() net.Addr { return &net.UnixAddr{Name: "pipe", Net: "pipe"} }

// sent is an answer's beginning that has left the server.
func sent(w http.ResponseWriter, status int, kind, text string) {
	answer(w, status, kind, text)
	_ = http.NewResponseController(w).Flush()
}

// pass lets time go by on synctest's clock, where it takes none.
func pass(d time.Duration) { <-time.After(d) }

// A server that falls silent, wherever in its answer, is given up after two minutes, and that is what is said.
func TestASilentServerIsGivenUp(t *testing.T) {
	for name, begin := range map[string]func(w http.ResponseWriter){
		"before it answers": func(http.ResponseWriter) {},
		"behind the head":   func(w http.ResponseWriter) { sent(w, 200, kindNDJSON, "") },
		"within":            func(w http.ResponseWriter) { sent(w, 200, kindNDJSON, `{"eventId":`) },
		"within a refusal":  func(w http.ResponseWriter) { sent(w, 503, kindProblem, `{"code":`) },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c := servePipes(t, func(w http.ResponseWriter, r *http.Request) {
					begin(w)
					<-r.Context().Done()
				})
				start := time.Now()
				body, err := c.Open(t.Context(), "/v1/events/export", nil)
				if err == nil {
					_, err = io.Copy(io.Discard, body)
					require.NoError(t, body.Close())
				}
				require.ErrorIs(t, err, errStalled)
				require.Equal(t, stallTime, time.Since(start))
			})
		})
	}
}

// A server may take its time, if it sends something now and then; and what whoever reads does in between, before
// the first byte or behind it, is no silence of the server's.
func TestSlowStreamsAreReadToTheirEnd(t *testing.T) {
	const lines = 5
	for name, c := range map[string]struct{ server, reader time.Duration }{
		"a slow server":           {stallTime - time.Second, 0},
		"a reader that pauses":    {0, 3 * stallTime},
		"both, one after another": {stallTime - time.Second, stallTime / 2},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				api := servePipes(t, func(w http.ResponseWriter, _ *http.Request) {
					sent(w, 200, kindNDJSON, "")
					for i := range lines {
						pass(c.server)
						fmt.Fprintf(w, "{\"line\":%d}\n", i)
						_ = http.NewResponseController(w).Flush()
					}
				})
				body, err := api.Open(t.Context(), "/v1/events/export", nil)
				require.NoError(t, err)
				line := make([]byte, len("{\"line\":0}\n"))
				for range lines {
					pass(c.reader)
					_, err := io.ReadFull(body, line)
					require.NoError(t, err)
				}
				pass(c.reader)
				_, err = body.Read(line)
				require.ErrorIs(t, err, io.EOF)
				require.NoError(t, body.Close())
			})
		})
	}
}
