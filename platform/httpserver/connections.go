package httpserver

import (
	"net"
	"net/http"
	"sync"
	"time"
)

// lastRequests is how long requests are waited for whose connections were accepted before the listener closed.
const lastRequests = 500 * time.Millisecond

// connections knows which connections wait for a request's end. From its Shutdown on, http.Server closes a connection
// behind a request that it has just read, and does not answer it.
type connections struct {
	mu   sync.Mutex
	busy map[net.Conn]struct{}
}

// note is an http.Server's ConnState.
func (c *connections) note(conn net.Conn, state http.ConnState) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if state == http.StateNew || state == http.StateActive {
		if c.busy == nil {
			c.busy = map[net.Conn]struct{}{}
		}
		c.busy[conn] = struct{}{}
		return
	}
	delete(c.busy, conn)
}

// awaitNone waits until no connection is busy, or for a time. What is longer under way is being answered then.
func (c *connections) awaitNone(most time.Duration) {
	over := time.NewTimer(most)
	defer over.Stop()
	again := time.NewTicker(5 * time.Millisecond)
	defer again.Stop()
	for {
		c.mu.Lock()
		n := len(c.busy)
		c.mu.Unlock()
		if n == 0 {
			return
		}
		select {
		case <-again.C:
		case <-over.C:
			return
		}
	}
}
