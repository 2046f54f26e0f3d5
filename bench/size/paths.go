package main

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/jackc/pgx/v5"

	"audittrail/bench/internal/benchapi"
	"audittrail/bench/internal/benchingest"
)

// path is what one kind of requests gave of one store.
type path struct {
	Kind   string    `json:"kind"`
	Rounds []reading `json:"rounds"`
}

// reading is a round. Buffers are those of a request, with what its planning read.
type reading struct {
	benchapi.Reading
	Hit  float64 `json:"sharedBuffersHit"`
	Read float64 `json:"sharedBuffersRead"`
}

// measurePaths serves the API of a store, and asks it.
func (b *bench) measurePaths(ctx context.Context, s *kept, r *results) (err error) {
	address, err := benchingest.FreeAddress(ctx)
	if err != nil {
		return err
	}
	api, err := b.Serve(ctx, b.program, nil, slices.Concat([]string{"--roles", "api", "--postgres.url", s.url, "--http.addr", address}, b.stand.Auth(), s.ledger())...)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, api.Stop()) }()
	if err := api.Ready(ctx); err != nil {
		return err
	}
	events, err := benchapi.Sample(ctx, s.conn, int64(s.events), b.opts.requests)
	if err != nil {
		return err
	}
	at := benchapi.Target{APIs: []*benchapi.Process{{Addr: address, PID: api.PID}}, Server: benchingest.Postmaster(s.conn)}
	for _, k := range s.kinds() {
		if len(b.opts.paths) > 0 && !slices.Contains(b.opts.paths, k.Name) {
			continue
		}
		benchingest.Progress("%d events: %s", s.events, k.Name)
		requests, err := k.Requests(events)
		if err != nil {
			return err
		}
		p, err := b.measurePath(ctx, s.conn, at, requests)
		if err != nil {
			return fmt.Errorf("%s: %w", k.Name, err)
		}
		p.Kind = k.Name
		r.Paths = append(r.Paths, p)
	}
	return nil
}

// measurePath asks the requests in turn. The first is asked once more, before: what an API learns once about a store is no
// request's part.
func (b *bench) measurePath(ctx context.Context, conn *pgx.Conn, at benchapi.Target, requests []string) (p path, err error) {
	if _, err := benchapi.Load(ctx, at, b.stand.Tokens, requests[:1], 1, 0); err != nil {
		return p, err
	}
	for range b.opts.Rounds {
		if _, err := conn.Exec(ctx, "SELECT pg_stat_statements_reset()"); err != nil {
			return p, err
		}
		var r reading
		if r.Reading, err = benchapi.Load(ctx, at, b.stand.Tokens, requests, b.opts.concurrency, b.opts.lasts); err != nil {
			return p, err
		}
		if err := conn.QueryRow(ctx, buffersSQL, r.Requests).Scan(&r.Hit, &r.Read); err != nil {
			return p, err
		}
		p.Rounds = append(p.Rounds, r)
	}
	return p, nil
}

const buffersSQL = `SELECT sum(shared_blks_hit)::float8 / $1::int, sum(shared_blks_read)::float8 / $1::int FROM pg_stat_statements
	WHERE userid = 'audittrail_api'::regrole AND dbid = (SELECT oid FROM pg_database WHERE datname = current_database())`
