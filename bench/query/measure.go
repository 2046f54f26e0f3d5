package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"audittrail/bench/internal/benchapi"
	"audittrail/bench/internal/benchdb"
	"audittrail/bench/internal/benchingest"
	"audittrail/modules/sample"
)

// bench is what all measurements share.
type bench struct {
	opts options
	*benchapi.Stand
	server   int // PostgreSQL's first process
	subjects []*subject
}

// subject is a store with what is asked of it and by which APIs.
type subject struct {
	*benchapi.Store
	asked []asked
	apis  map[string][]*benchapi.Process // by their access mode
}

// asked is a kind of requests, with what runs their statements.
type asked struct {
	kind  string
	paths []string
	peer  *peer
}

// warmUp is how long an API is asked before it is measured: its connections have their statements prepared then.
const warmUp = 300 * time.Millisecond

func (b *bench) open(ctx context.Context, server *benchdb.Server, records []sample.Record) (err error) {
	if b.Stand, err = benchapi.NewStand(b.opts.log); err != nil {
		return err
	}
	for _, events := range []int64{b.opts.events, b.opts.large} {
		if events == 0 {
			continue
		}
		store, err := benchapi.Fill(ctx, server, records, events, time.Now())
		if err != nil {
			return err
		}
		s := &subject{Store: store, apis: map[string][]*benchapi.Process{}}
		b.subjects = append(b.subjects, s)
		if err := b.ask(ctx, s); err != nil {
			return err
		}
		if err := b.startAPIs(ctx, s); err != nil {
			return err
		}
	}
	return nil
}

func (b *bench) startAPIs(ctx context.Context, s *subject) error {
	for _, mode := range b.opts.access {
		for i := range slices.Max(b.opts.processes) {
			o := benchapi.Options{Database: s.URL, Access: mode}
			if s == b.subjects[0] && mode == b.opts.access[0] && i == 0 {
				o.Profile = b.opts.profile
			}
			api, err := b.Start(ctx, o)
			if err != nil {
				return err
			}
			s.apis[mode] = append(s.apis[mode], api)
		}
	}
	return nil
}

func (b *bench) close() error {
	var errs []error
	for _, s := range b.subjects {
		for _, apis := range s.apis {
			for _, api := range apis {
				errs = append(errs, api.Stop())
			}
		}
	}
	if b.Stand != nil {
		errs = append(errs, b.Close())
	}
	return errors.Join(errs...)
}

func (b *bench) sizes() (sizes []int64) {
	for _, s := range b.subjects {
		sizes = append(sizes, s.Events)
	}
	return sizes
}

// ask makes the requests, and has an API that is not measured answer each one, to write down the statements that
// this takes.
func (b *bench) ask(ctx context.Context, s *subject) (err error) {
	conn, err := pgx.Connect(ctx, s.URL)
	if err != nil {
		return err
	}
	defer conn.Close(context.WithoutCancel(ctx)) //nolint:errcheck // nothing is lost with it
	b.server = benchingest.Postmaster(conn)
	events, err := benchapi.Sample(ctx, conn, s.Events, b.opts.requests)
	if err != nil {
		return err
	}
	trace := &recorder{}
	serving, stop := context.WithCancel(ctx)
	ended, listening := make(chan error, 1), make(chan net.Addr, 1)
	go func() {
		o := benchapi.Options{Database: s.URL, JWKSFile: b.JWKSFile(), Access: benchapi.AccessOff}
		ended <- benchapi.Serve(serving, o, io.Discard, trace, func(addr net.Addr) { listening <- addr })
	}()
	defer func() {
		stop()
		err = errors.Join(err, <-ended)
	}()
	var addr net.Addr
	select {
	case addr = <-listening:
	case err := <-ended:
		ended <- nil
		return fmt.Errorf("the API did not start: %w", err)
	}
	for _, k := range benchapi.Kinds() {
		if !slices.Contains(b.opts.kinds, k.Name) {
			continue
		}
		paths, err := k.Requests(events)
		if err != nil {
			return err
		}
		statements, err := b.record(ctx, benchapi.Target{APIs: []*benchapi.Process{{Addr: addr.String()}}}, trace, paths)
		if err != nil {
			return fmt.Errorf("%s: %w", k.Name, err)
		}
		peer, err := newPeer(b.Dir, fmt.Sprintf("%s-%s", s.Name, k.Name), statements)
		if err != nil {
			return err
		}
		s.asked = append(s.asked, asked{k.Name, paths, peer})
	}
	return nil
}

// record answers the statements of each request. The first one is made twice: what an API learns once about a store
// is no request's part.
func (b *bench) record(ctx context.Context, api benchapi.Target, trace *recorder, paths []string) (all [][]statement, err error) {
	for i, path := range append(paths[:1:1], paths...) {
		if _, err := benchapi.Load(ctx, api, b.Tokens, []string{path}, 1, 0); err != nil {
			return nil, err
		}
		statements, err := trace.take()
		if err != nil {
			return nil, err
		}
		if i > 0 {
			all = append(all, statements)
		}
	}
	return all, nil
}

// measure takes one round of a store's measurements.
func (b *bench) measure(ctx context.Context, s *subject, r *report) error {
	for _, a := range s.asked {
		for _, n := range b.opts.concurrency {
			benchingest.Progress("%s: %s, %d at once", s.Name, a.kind, n)
			var peer benchapi.Reading
			if b.opts.pgbench {
				var err error
				if peer, err = a.peer.run(ctx, b.Dir, s.URL, b.server, n, b.opts.lasts); err != nil {
					return fmt.Errorf("%s: %w", a.kind, err)
				}
			}
			for _, mode := range b.opts.access {
				for _, processes := range b.opts.processes {
					got, err := b.load(ctx, s.apis[mode][:processes], a.paths, n)
					if err != nil {
						return fmt.Errorf("%s: %w", a.kind, err)
					}
					got.Pgbench = peer
					r.add(s.Events, a.kind, mode, processes, n, got)
				}
			}
		}
	}
	if !slices.Contains(b.opts.kinds, kindExport) {
		return nil
	}
	for _, mode := range b.opts.access {
		e, err := export(ctx, s.Store, s.apis[mode][0], b.Tokens[0], b.opts.exported)
		if err != nil {
			return err
		}
		r.addExport(s.Events, mode, e)
	}
	return nil
}

// load asks the APIs, warm, with so many requests at once.
func (b *bench) load(ctx context.Context, apis []*benchapi.Process, paths []string, n int) (m measured, err error) {
	t := benchapi.Target{APIs: apis, Server: b.server}
	if _, err := benchapi.Load(ctx, t, b.Tokens, paths, n, warmUp); err != nil {
		return m, err
	}
	for _, api := range apis {
		api.ResetPeak()
	}
	m.API, err = benchapi.Load(ctx, t, b.Tokens, paths, n, b.opts.lasts)
	for _, api := range apis {
		m.Peak = max(m.Peak, api.Peak())
	}
	return m, err
}
