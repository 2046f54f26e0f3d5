package httpserver

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"audittrail/platform/config"
	"audittrail/platform/lifecycle"
)

// AdminOptions are the keys below `admin`.
type AdminOptions struct {
	Addr  string          `key:"addr" default:":9090" help:"address of the operators' port, host:port: probes, metrics, pprof; port 0 takes a free one"`
	TLS   AdminTLSOptions `key:"tls"`
	Pprof bool            `key:"pprof" default:"false" help:"serve Go profiles under /debug/pprof/ of the operators' port"`
}

// AdminTLSOptions are the keys below `admin.tls`.
type AdminTLSOptions struct {
	Cert string `key:"cert" help:"PEM file with the certificate chain of the operators' port; read again when it changes; none: plain HTTP"`
	Key  string `key:"key" help:"PEM file with the certificate's private key; read again when it changes"`
}

// Validate reports every key that can't work.
func (o AdminOptions) Validate() error {
	var errs []error
	if !isAddress(o.Addr) {
		errs = append(errs, config.Invalid("addr", "must be host:port, as in :9090 or 127.0.0.1:9090"))
	}
	if (o.TLS.Cert == "") != (o.TLS.Key == "") {
		errs = append(errs, config.Invalid("tls.cert", "needs tls.key, and tls.key needs it"))
	}
	return errors.Join(errs...)
}

// AdminDeps is what an Admin is made with.
type AdminDeps struct {
	Log     *slog.Logger
	Metrics prometheus.Gatherer
	// Status tells how each role is doing; it answers within its context.
	Status func(context.Context) []lifecycle.Status
	// StatusOf tells how one role is doing; false where this process does not run it.
	StatusOf func(ctx context.Context, role string) (lifecycle.Status, bool)
	// Roles are the names of all roles that there are, whether this process runs them or not.
	Roles []string
	// Started tells whether configuration and listeners are up. It never waits for other systems.
	Started func() bool
	// Level is the least level that is logged, which PUT /loglevel changes; nil: it can't be.
	Level *slog.LevelVar
}

// Admin is the operators' port. It speaks plain net/http: it must work when everything else does not,
// and its answers are neither logged nor counted.
type Admin struct {
	opts     AdminOptions
	deps     AdminDeps
	stopping atomic.Bool
	certs    *certificates // nil without TLS; set by Listen
	listener net.Listener
	server   *http.Server
}

// NewAdmin makes an operators' port that does not listen yet.
func NewAdmin(opts AdminOptions, deps AdminDeps) *Admin {
	a := &Admin{opts: opts, deps: deps}
	a.server = &http.Server{
		Handler:           a.routes(),
		ReadHeaderTimeout: readHeaderTimeout,
		ReadTimeout:       readTimeout,
		WriteTimeout:      writeTimeout, // a CPU profile takes its 30 s
		IdleTimeout:       idleTimeout,
		MaxHeaderBytes:    maxHeaderBytes,
		ErrorLog:          slog.NewLogLogger(deps.Log.Handler(), slog.LevelDebug),
	}
	return a
}

// Listen takes the address, so that an address that can't be had ends the program before a role has
// started. It answers the address that it got.
func (a *Admin) Listen(ctx context.Context) (net.Addr, error) {
	if a.opts.TLS.Cert != "" {
		if _, err := tls.LoadX509KeyPair(a.opts.TLS.Cert, a.opts.TLS.Key); err != nil {
			return nil, fmt.Errorf("admin.tls.cert and admin.tls.key: %w", err)
		}
	}
	certs, err := newCertificates(TLSOptions{Cert: a.opts.TLS.Cert, Key: a.opts.TLS.Key}, a.deps.Log)
	if err != nil {
		return nil, fmt.Errorf("admin.tls: %w", err)
	}
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", a.opts.Addr)
	if err != nil {
		return nil, fmt.Errorf("admin.addr: %w", err)
	}
	a.certs, a.server.TLSConfig, a.listener = certs, certs.server(), listener
	return listener.Addr(), nil
}

// Serve answers until ctx is cancelled. Listen comes before.
func (a *Admin) Serve(ctx context.Context) error {
	served := make(chan error, 1)
	go func() {
		if a.server.TLSConfig != nil {
			served <- a.server.ServeTLS(a.listener, "", "")
			return
		}
		served <- a.server.Serve(a.listener)
	}()
	select {
	case err := <-served:
		return fmt.Errorf("serve the operators' port: %w", err)
	case <-ctx.Done():
	}
	grace, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
	defer cancel()
	if err := a.server.Shutdown(grace); err != nil {
		_ = a.server.Close() // a profile that is being taken is not worth waiting for
	}
	if err := <-served; !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("serve the operators' port: %w", err)
	}
	return nil
}

// Stopping makes /readyz and /readyz/{role} say 503 from now on, so that nobody sends work to a program that ends.
func (a *Admin) Stopping() { a.stopping.Store(true) }

// Reload reads the certificate's files again. Listen comes before.
func (a *Admin) Reload(context.Context) error {
	if err := a.certs.reload(); err != nil {
		return fmt.Errorf("admin.tls: %w", err)
	}
	return nil
}
