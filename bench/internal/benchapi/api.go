// Package benchapi is what benchmarks of the API share: stores with events, processes that serve the API over them, and
// what asks those.
package benchapi

import (
	"context"
	"io"
	"log/slog"
	"net"
	"strconv"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
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

// AccessOff is no mode of the program: the API of it has no hook that writes entries, which shows what they cost.
const AccessOff = "off"

// conns is the default of `postgres.max_conns`.
const conns = 8

// Options are what an API is started with.
type Options struct {
	Database string // its URL
	JWKSFile string
	Access   string   // as `access.mode`, or AccessOff
	Replicas []string // URLs of streaming replicas that are read too
	Profile  string   // file for a CPU profile of the API's life; empty for none
}

// issuer and audience are those of the tokens.
const (
	issuer   = "https://issuer.bench"
	audience = "audittrail"
)

// Parameters are those of the API's connections that its statements are planned with.
func Parameters() map[string]string {
	return map[string]string{"jit": "off", "max_parallel_workers_per_gather": "0"}
}

// Serve serves the reading paths until ctx is cancelled, assembled as cmd/app's role api is. Where there is a
// tracer nothing but requests sends statements to it.
func Serve(ctx context.Context, o Options, logs io.Writer, tracer pgx.QueryTracer, listening func(net.Addr)) error {
	reads := readingPool(o.Database)
	reads.Tracer = tracer
	pool, err := postgres.Open(ctx, reads)
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
	if o.Access == AccessOff {
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
	replicas, closeReplicas, err := openReplicas(ctx, o, pool, log)
	if err != nil {
		return err
	}
	defer closeReplicas()
	reader := store.NewReader(store.ReaderOptions{Pool: pool, Replicas: replicas, Scoped: true})
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
	if replicas != nil {
		running.Go(func() { replicas.Run(background) })
		if err := awaitReplicas(ctx, replicas); err != nil {
			return err
		}
	}
	return server.Run(ctx, listening)
}

// openReplicas returns nil where there are none.
func openReplicas(ctx context.Context, o Options, primary *pgxpool.Pool, log *slog.Logger) (set *store.Replicas, closeAll func(), err error) {
	var all []store.Replica
	closeAll = func() {
		for _, r := range all {
			r.Pool.Close()
		}
	}
	for i, url := range o.Replicas {
		like := readingPool(url)
		like.Name = "replica"
		pool, err := postgres.Open(ctx, like)
		if err != nil {
			closeAll()
			return nil, nil, err
		}
		all = append(all, store.Replica{Name: strconv.Itoa(i + 1), Pool: pool})
	}
	if len(all) == 0 {
		return nil, closeAll, nil
	}
	set, err = store.NewReplicas(store.ReplicaOptions{Primary: primary, Replicas: all, MaxLag: 5 * time.Second, Log: log})
	return set, closeAll, err
}

// awaitReplicas waits until all are read.
func awaitReplicas(ctx context.Context, set *store.Replicas) error {
	again := time.NewTicker(10 * time.Millisecond)
	defer again.Stop()
	for len(set.Notes()) > 0 {
		select {
		case <-again.C:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}

// readingPool is as the API's `postgres` pool.
func readingPool(url string) postgres.PoolOptions {
	return postgres.PoolOptions{
		URL: url, Name: "api", Role: "audittrail_api", MaxConns: conns, LockTimeout: 5 * time.Second,
		StatementTimeout: 10 * time.Second, Parameters: Parameters(),
	}
}

// others stands in for the handlers of other modules, which nobody asks here.
type others struct{ httpapi.StrictServerInterface }
