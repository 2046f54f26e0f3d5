package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"audittrail/bench/internal/benchapi"
	"audittrail/bench/internal/benchdb"
	"audittrail/bench/internal/benchingest"
	"audittrail/platform/devstack"
)

// warmUp is how long APIs are asked before they are measured. A replica that has just come is given more requests every
// 250 ms, from one on; afterwards it has as many as anybody.
const warmUp = 2 * time.Second

// settings: there are up to three servers on one machine, and autovacuum comes when it likes.
func settings() map[string]string {
	return map[string]string{"autovacuum": "off", "max_connections": "200", "shared_buffers": "512MB"}
}

// bench is what all measurements share.
type bench struct {
	opts options
	*benchapi.Stand
	store    *benchapi.Store
	primary  int // PostgreSQL's first process
	replicas []replica
	paths    map[string][]string // by kind
}

type replica struct {
	server *devstack.Postgres
	pid    int
}

// run takes all measurements and writes the report.
func run(ctx context.Context, o options, out io.Writer) (err error) {
	server, err := benchdb.Start(ctx, settings())
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, server.Close()) }()
	b := &bench{opts: o, paths: map[string][]string{}}
	defer func() { err = errors.Join(err, b.close()) }()
	if err := b.open(ctx, server); err != nil {
		return err
	}
	r := newReport(server.Postgres.Version(), o)
	for round := range o.rounds {
		for _, replicas := range o.replicas {
			benchingest.Progress("round %d of %d, %d replicas", round+1, o.rounds, replicas)
			if err := server.Settle(ctx); err != nil {
				return err
			}
			if err := b.measure(ctx, replicas, r); err != nil {
				return err
			}
		}
	}
	return r.print(out, o.output)
}

func (b *bench) open(ctx context.Context, server *benchdb.Server) (err error) {
	if b.Stand, err = benchapi.NewStand(b.opts.log); err != nil {
		return err
	}
	templates := benchdb.Orders(int(min(b.opts.events, benchapi.MostTemplates)))
	if b.store, err = benchapi.Fill(ctx, server, templates, b.opts.events, time.Now()); err != nil {
		return err
	}
	if err := b.ask(ctx); err != nil {
		return err
	}
	for range slices.Max(b.opts.replicas) {
		copied, err := server.Replica(ctx)
		if err != nil {
			return err
		}
		b.replicas = append(b.replicas, replica{server: copied})
		if b.replicas[len(b.replicas)-1].pid, err = postmaster(ctx, copied.URL(b.store.Name)); err != nil {
			return err
		}
	}
	return nil
}

// ask makes the requests.
func (b *bench) ask(ctx context.Context) error {
	conn, err := pgx.Connect(ctx, b.store.URL)
	if err != nil {
		return err
	}
	defer conn.Close(context.WithoutCancel(ctx)) //nolint:errcheck // nothing is lost with it
	b.primary = benchingest.Postmaster(conn)
	events, err := benchapi.Sample(ctx, conn, b.store.Events, b.opts.requests)
	if err != nil {
		return err
	}
	for _, k := range benchapi.Kinds() {
		if !slices.Contains(b.opts.kinds, k.Name) {
			continue
		}
		if b.paths[k.Name], err = k.Requests(events); err != nil {
			return err
		}
	}
	return nil
}

func postmaster(ctx context.Context, url string) (int, error) {
	conn, err := pgx.Connect(ctx, url)
	if err != nil {
		return 0, err
	}
	defer conn.Close(context.WithoutCancel(ctx)) //nolint:errcheck // nothing is lost with it
	return benchingest.Postmaster(conn), nil
}

// measure takes the measurements with so many replicas: all processes are there, and some are asked.
func (b *bench) measure(ctx context.Context, replicas int, r *report) (err error) {
	o := benchapi.Options{Database: b.store.URL, Access: b.opts.access}
	at := benchapi.Target{Server: b.primary}
	for _, one := range b.replicas[:replicas] {
		o.Replicas = append(o.Replicas, one.server.URL(b.store.Name))
		at.Replicas = append(at.Replicas, one.pid)
	}
	var apis []*benchapi.Process
	defer func() {
		for _, api := range apis {
			err = errors.Join(err, api.Stop())
		}
	}()
	for range slices.Max(b.opts.processes) {
		api, err := b.Start(ctx, o)
		if err != nil {
			return err
		}
		apis = append(apis, api)
	}
	for _, kind := range b.opts.kinds {
		for _, processes := range b.opts.processes {
			at.APIs = apis[:processes]
			if _, err := benchapi.Load(ctx, at, b.Tokens, b.paths[kind], b.opts.concurrency, warmUp); err != nil {
				return fmt.Errorf("%s: %w", kind, err)
			}
			got, err := benchapi.Load(ctx, at, b.Tokens, b.paths[kind], b.opts.concurrency, b.opts.lasts)
			if err != nil {
				return fmt.Errorf("%s: %w", kind, err)
			}
			r.add(kind, replicas, processes, got)
		}
	}
	return nil
}

func (b *bench) close() (err error) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	for _, one := range b.replicas {
		err = errors.Join(err, one.server.Stop(ctx))
	}
	if b.Stand != nil {
		err = errors.Join(err, b.Close())
	}
	return err
}
