package httpserver

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"time"
)

// Limits of one connection. WriteTimeout leaves room for the longest wait of a feed and a slow statement.
const (
	readHeaderTimeout = 5 * time.Second
	readTimeout       = 15 * time.Second
	writeTimeout      = 75 * time.Second
	idleTimeout       = 2 * time.Minute
	maxHeaderBytes    = 32 << 10
)

// Run listens, calls ready with the address that it got, and serves until ctx is cancelled. Then it takes
// no more requests and gives those under way the drain time. An address that can't be had, or a
// certificate that can't be read, is an error.
func (s *Server) Run(ctx context.Context, ready func(net.Addr)) error {
	certs, err := newCertificates(s.opts.TLS, s.log)
	if err != nil {
		return err
	}
	s.certs.Store(certs)
	tlsConfig := certs.server()
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", s.opts.Addr)
	if ctx.Err() != nil { // told to stop before it began
		if err == nil {
			_ = listener.Close() // nothing was accepted
		}
		return nil
	}
	if err != nil {
		return fmt.Errorf("http.addr: %w", err)
	}
	var conns connections
	server := &http.Server{
		ConnState:         conns.note,
		Handler:           s,
		TLSConfig:         tlsConfig,
		ReadHeaderTimeout: readHeaderTimeout,
		ReadTimeout:       readTimeout,
		WriteTimeout:      writeTimeout,
		IdleTimeout:       idleTimeout,
		MaxHeaderBytes:    maxHeaderBytes,
		ErrorLog:          slog.NewLogLogger(s.log.Handler(), slog.LevelDebug),
	}
	served := make(chan error, 1)
	go func() {
		if tlsConfig != nil {
			served <- server.ServeTLS(listener, "", "")
			return
		}
		served <- server.Serve(problemListener{listener})
	}()
	ready(listener.Addr())

	select {
	case err := <-served:
		return fmt.Errorf("serve http: %w", err)
	case <-ctx.Done():
	}
	_ = listener.Close() // Serve tells
	ended := <-served
	conns.awaitNone(lastRequests)
	if err := s.stop(server); err != nil || errors.Is(ended, net.ErrClosed) {
		return err
	}
	return fmt.Errorf("serve http: %w", ended)
}

// Drain closes connections as answers leave, from now on: HTTP/1.1 by "Connection: close", HTTP/2 by
// GOAWAY. Callers come back by a new connection, which a load balancer routes to another process.
// Connections are not closed while idle, since a request may be on its way.
func (s *Server) Drain() { s.draining.Store(true) }

// closing has the connection closed behind the answer whose headers are given, while the server drains.
func (s *Server) closing(h http.Header) {
	if s.draining.Load() {
		h.Set("Connection", "close") // net/http makes GOAWAY of it for HTTP/2
	}
}

// Reload reads the TLS files again.
func (s *Server) Reload() error { return s.certs.Load().reload() }

// stop drains and ends the server, whose accept loop has ended.
func (s *Server) stop(server *http.Server) error {
	ctx, cancel := context.WithTimeout(context.Background(), s.drain)
	defer cancel()
	err := server.Shutdown(ctx)
	if err != nil {
		s.log.Warn("requests were cut off at shutdown", slog.Duration("after", s.drain))
		err = server.Close()
	}
	for range cap(s.slots) { // requests whose connection was cut end soon, and not after Run
		s.slots <- struct{}{}
	}
	return err
}
