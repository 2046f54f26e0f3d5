package app

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"sync"
	"time"

	"audittrail/modules/access"
	"audittrail/modules/analytics"
	"audittrail/modules/erase"
	"audittrail/modules/httpapi"
	"audittrail/modules/protect"
	"audittrail/modules/query"
	"audittrail/modules/replay"
	"audittrail/modules/store"
	"audittrail/platform/auth"
	"audittrail/platform/httpserver"
	"audittrail/platform/lifecycle"
)

// handlers are the handler sets of all modules: together they answer every operation of openapi.yaml. A
// module that gets endpoints has its set embedded here.
type handlers struct {
	*httpapi.Docs
	*query.Handlers
	*replay.Endpoints
	*analytics.API
	*erase.Subjects
}

// maxDrain is how long requests under way may take to end, where the grace period is longer.
const maxDrain = 10 * time.Second

// apiRole assembles the API: the server, what it asks before an answer leaves (its hooks), who is let in,
// and the handlers. It opens no connection and no listener.
func apiRole(ctx context.Context, p *parts, open pools) (lifecycle.Role, error) {
	spec, err := httpapi.Load()
	if err != nil {
		return nil, err
	}
	accessed := store.NewAccessLog(open["access"])
	accesses, err := access.NewLog(access.LogOptions{Appender: accessed, Mode: p.cfg.Access.Mode, Log: p.log, Metrics: p.metrics})
	if err != nil {
		return nil, err
	}
	shared, err := newShared(p)
	if err != nil {
		return nil, err
	}
	server, err := httpserver.New(p.cfg.HTTP, httpserver.Deps{
		Log: p.log, Metrics: p.metrics, Tracing: p.tracing, Drain: min(maxDrain, p.cfg.Shutdown.Grace/2),
		Hooks: []httpserver.Hook{accesses.Hook}, Shared: shared.limit,
	})
	if err != nil {
		return nil, err
	}
	verifier, err := auth.NewVerifier(p.cfg.Auth, p.log)
	if err != nil {
		return nil, err
	}
	keys, stored, err := p.keyring("api", open)
	if err != nil {
		return nil, err
	}
	rules, err := protect.NewRules(p.cfg.Encryption.Rules)
	if err != nil {
		return nil, err
	}
	var (
		opener   *protect.Opener
		searcher *protect.Searcher
		sealing  *protect.Letters
	)
	if keys != nil {
		opener, searcher = protect.NewOpener(keys), protect.NewSearcher(rules, keys)
		if !rules.Empty() {
			sealing = protect.NewLetters(keys)
		}
	}
	replicas, err := apiReplicas(ctx, p, open)
	if err != nil {
		return nil, err
	}
	reader := store.NewReader(store.ReaderOptions{
		Pool: open["api"], Replicas: replicas, Cache: shared.cache, Scoped: true, Opener: opener, Searcher: searcher,
	})
	reading, err := query.NewHandlers(query.Options{
		Reader: reader, Letters: store.NewLetters(open["api"]), Kept: replay.NewSource(p.cfg.Kafka, p.log).Kept, State: p.cfg.State,
		MaxWaits: p.cfg.HTTP.MaxRequests / 2, NoSnapshots: keys != nil, Sealing: sealing, Metrics: p.metrics,
	})
	if err != nil {
		return nil, err
	}
	entrance := httpapi.Entrance{
		Verifier: verifier, Certificates: auth.NewCertificates(p.cfg.HTTP.TLS.ClientPrincipals),
		Policy: access.NewPolicy(p.cfg.Access), Seats: reader, PublicLedger: p.cfg.Ledger.Public, Rules: rules,
	}
	replays := replayHandlers(p.cfg, open["api"], reader, rules)
	subjects := eraseHandlers(open["api"], reader, stored, keys, rules)
	if err := httpapi.Mount(server, spec, entrance, handlers{httpapi.NewDocs(spec), reading, replays, analytics.NewAPI(reader), subjects}); err != nil {
		return nil, err
	}
	return &api{
		server: server, verifier: verifier, reading: reading, replays: replays, accesses: accesses, replicas: replicas, shared: shared, keys: keys, log: p.log,
		checks:    []func(context.Context) error{reader.Ping, accessed.Check},
		listening: func(addr net.Addr) { p.listeners.up("api", addr) },
	}, nil
}

// apiReplicas returns what is known of the replicas; nil if there are none.
func apiReplicas(ctx context.Context, p *parts, open pools) (*store.Replicas, error) {
	all, err := p.replicas(ctx, apiPool(p.cfg.Postgres.MaxConns))
	if err != nil || len(all) == 0 {
		return nil, err
	}
	return store.NewReplicas(store.ReplicaOptions{
		Primary: open["api"], Replicas: all, MaxLag: p.cfg.Postgres.ReplicaMaxLag, Log: p.log, Metrics: p.metrics,
	})
}

// api is the role: it serves until it is stopped.
type api struct {
	server    *httpserver.Server
	verifier  *auth.Verifier
	reading   *query.Handlers
	replays   *replay.Endpoints
	accesses  *access.Log
	replicas  *store.Replicas // nil if there are none
	shared    shared
	keys      *protect.Keyring              // nil where nothing is sealed
	checks    []func(context.Context) error // ask PostgreSQL
	log       *slog.Logger
	listening func(net.Addr) // is told the listener's address before the role is ready
}

// Name is the role's name in `roles`.
func (a *api) Name() string { return "api" }

// Run serves until ctx is cancelled. Waiting feeds are answered at once then, and other requests under way
// get the drain time.
func (a *api) Run(ctx context.Context, ready func()) error {
	background, cancel := context.WithCancel(ctx)
	logging, last := context.WithCancel(context.WithoutCancel(ctx))
	var running sync.WaitGroup
	defer running.Wait()
	defer last()   // of requests under way the answers wait for their entries
	defer cancel() // before the wait: a listener that fails ends the others too
	running.Go(func() { a.accesses.Run(logging) })
	running.Go(func() { a.verifier.Run(background) })
	running.Go(func() { a.reading.Run(background) })
	running.Go(func() { a.replays.Run(background) })
	a.shared.run(background, &running)
	if a.replicas != nil {
		running.Go(func() { a.replicas.Run(background) })
	}
	return a.server.Run(ctx, func(addr net.Addr) {
		a.log.Info("the API listens", slog.String("address", addr.String()))
		a.listening(addr)
		ready()
	})
}

// Notes tells why sealed values can't be opened: all else is answered. It also tells which replicas are not read, and
// why: the primary answers in their place.
func (a *api) Notes() (notes []string) {
	if a.replicas != nil {
		notes = a.replicas.Notes()
	}
	if a.keys != nil {
		if err := a.keys.Trouble(); err != nil {
			notes = append(notes, "sealed values can't be opened: "+err.Error())
		}
	}
	return notes
}

// Drain closes connections as answers leave, while the role goes on serving.
func (a *api) Drain() { a.server.Drain() }

// Reload reads the TLS files and the issuer's keys again. What can't be read leaves the last good ones in
// use.
func (a *api) Reload(ctx context.Context) error {
	return errors.Join(a.server.Reload(), a.verifier.Reload(ctx))
}

// Health is an error while requests can't be answered: PostgreSQL is away, or there are no keys to check
// tokens with.
func (a *api) Health(ctx context.Context) error {
	errs := []error{a.verifier.Health()}
	for _, check := range a.checks {
		errs = append(errs, check(ctx))
	}
	return errors.Join(errs...)
}
