package main

import (
	"context"
	"io"
	"net"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/prometheus/client_golang/prometheus"

	"audittrail/modules/access"
	"audittrail/modules/httpapi"
	"audittrail/modules/query"
	"audittrail/modules/store"
	"audittrail/platform/auth"
	"audittrail/platform/httpserver"
	"audittrail/platform/logging"
	"audittrail/platform/postgres"
)

// accessOff is no mode of the program: the API of it has no hook that writes entries, which shows what they cost.
const accessOff = "off"

// apiConns is the default of `postgres.max_conns`.
const apiConns = 8

// apiOptions are what an API is started with.
type apiOptions struct {
	Database string // its URL
	JWKSFile string
	Access   string // as `access.mode`, or accessOff
	Profile  string // file for a CPU profile of the API's life; empty for none
}

// issuer and audience are those of the tokens.
const (
	issuer   = "https://issuer.bench"
	audience = "audittrail"
)

// parameters are those of the API's connections that its statements are planned with.
func parameters() map[string]string {
	return map[string]string{"jit": "off", "max_parallel_workers_per_gather": "0"}
}

// serveAPI serves the reading paths until ctx is cancelled, assembled as cmd/app's role api is. Where there is a
// tracer nothing but requests sends statements to it.
func serveAPI(ctx context.Context, o apiOptions, logs io.Writer, tracer pgx.QueryTracer, listening func(net.Addr)) error {
	pool, err := postgres.Open(ctx, postgres.PoolOptions{
		URL: o.Database, Name: "api", Role: "audittrail_api", MaxConns: apiConns, LockTimeout: 5 * time.Second,
		StatementTimeout: 10 * time.Second, Parameters: parameters(), Tracer: tracer,
	})
	if err != nil {
		return err
	}
	defer pool.Close()
	entries, err := postgres.Open(ctx, postgres.PoolOptions{URL: o.Database, Name: "access", Role: "audittrail_api", MaxConns: 2, DurableCommits: true})
	if err != nil {
		return err
	}
	defer entries.Close()
	log, metrics := logging.New(logs, logging.Options{Level: "info", Format: "json"}), prometheus.NewRegistry()
	accesses, err := access.NewLog(access.LogOptions{Appender: store.NewAccessLog(entries), Mode: o.Access, Log: log, Metrics: metrics})
	if err != nil {
		return err
	}
	deps := httpserver.Deps{Log: log, Metrics: metrics, Drain: time.Second, Hooks: []httpserver.Hook{accesses.Hook}}
	if o.Access == accessOff {
		deps.Hooks = nil
	}
	server, err := httpserver.New(httpserver.Options{Addr: "127.0.0.1:0", MaxRequests: 512}, deps)
	if err != nil {
		return err
	}
	verifier, err := auth.NewVerifier(auth.Options{Issuer: issuer, Audience: audience, JWKSFile: o.JWKSFile, RolesClaim: "roles"}, log)
	if err != nil {
		return err
	}
	reader := store.NewReader(store.ReaderOptions{Pool: pool, Scoped: true})
	reading, err := query.NewHandlers(query.Options{
		Reader: reader, MaxWaits: 256, Metrics: metrics,
	})
	if err != nil {
		return err
	}
	spec, err := httpapi.Load()
	if err != nil {
		return err
	}
	served := struct {
		others
		*httpapi.Docs
		*query.Handlers
	}{others{}, httpapi.NewDocs(spec), reading}
	if err := httpapi.Mount(server, spec, httpapi.Entrance{Verifier: verifier, Seats: reader, Policy: access.NewPolicy(access.Options{})}, served); err != nil {
		return err
	}
	background, cancel := context.WithCancel(ctx)
	logging, last := context.WithCancel(context.WithoutCancel(ctx))
	var running sync.WaitGroup
	defer running.Wait()
	defer last()
	defer cancel()
	running.Go(func() { accesses.Run(logging) })
	running.Go(func() { verifier.Run(background) })
	if tracer == nil {
		running.Go(func() { reading.Run(background) })
	}
	return server.Run(ctx, listening)
}

// others stands in for the handlers of other modules, which nobody asks here.
type others struct{ httpapi.StrictServerInterface }
