package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"audittrail/bench/internal/benchdb"
	"audittrail/bench/internal/benchingest"
	"audittrail/modules/sample"
	"audittrail/platform/devstack"
)

// bench is what all measurements share.
type bench struct {
	opts     options
	dir      string // temporary
	token    string
	server   int // PostgreSQL's first process
	keys     *devstack.Keys
	log      *os.File
	subjects []*subject
}

// subject is a store with what is asked of it and by which APIs.
type subject struct {
	*stored
	asked []asked
	apis  map[string]*child // by their access mode
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
	if b.dir, err = os.MkdirTemp("", "audittrail-bench-"); err != nil {
		return err
	}
	if b.log, err = os.Create(b.opts.log); err != nil {
		return err
	}
	if b.keys, err = devstack.OpenKeys(b.dir); err != nil {
		return err
	}
	if b.token, err = b.keys.Mint(time.Now(), devstack.TokenOptions{
		Issuer: issuer, Audience: audience, Subject: "bench", Roles: []string{"admin"}, RolesClaim: "roles", Lifetime: 24 * time.Hour,
	}); err != nil {
		return err
	}
	for _, events := range []int64{b.opts.events, b.opts.large} {
		if events == 0 {
			continue
		}
		store, err := fill(ctx, server, records, events, time.Now())
		if err != nil {
			return err
		}
		s := &subject{stored: store, apis: map[string]*child{}}
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

func (b *bench) startAPIs(ctx context.Context, s *subject) (err error) {
	for _, mode := range b.opts.access {
		o := apiOptions{Database: s.url, JWKSFile: b.keys.JWKSFile(), Access: mode}
		if s == b.subjects[0] && mode == b.opts.access[0] {
			o.Profile = b.opts.profile
		}
		if s.apis[mode], err = startAPI(ctx, o, b.log); err != nil {
			return err
		}
	}
	return nil
}

func (b *bench) close() error {
	var errs []error
	for _, s := range b.subjects {
		for _, api := range s.apis {
			if api != nil {
				errs = append(errs, api.stop())
			}
		}
	}
	if b.log != nil {
		errs = append(errs, b.log.Close())
	}
	return errors.Join(append(errs, os.RemoveAll(b.dir))...)
}

func (b *bench) sizes() (sizes []int64) {
	for _, s := range b.subjects {
		sizes = append(sizes, s.events)
	}
	return sizes
}

// ask makes the requests, and has an API that is not measured answer each one, to write down the statements that
// this takes.
func (b *bench) ask(ctx context.Context, s *subject) (err error) {
	conn, err := pgx.Connect(ctx, s.url)
	if err != nil {
		return err
	}
	defer conn.Close(context.WithoutCancel(ctx)) //nolint:errcheck // nothing is lost with it
	b.server = benchingest.Postmaster(conn)
	events, err := s.sample(ctx, conn, b.opts.requests)
	if err != nil {
		return err
	}
	trace := &recorder{}
	serving, stop := context.WithCancel(ctx)
	ended, listening := make(chan error, 1), make(chan net.Addr, 1)
	go func() {
		o := apiOptions{Database: s.url, JWKSFile: b.keys.JWKSFile(), Access: accessOff}
		ended <- serveAPI(serving, o, io.Discard, trace, func(addr net.Addr) { listening <- addr })
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
	for _, k := range kinds() {
		if !slices.Contains(b.opts.kinds, k.name) {
			continue
		}
		paths, err := k.requests(events)
		if err != nil {
			return err
		}
		statements, err := b.record(ctx, target{addr: addr.String()}, trace, paths)
		if err != nil {
			return fmt.Errorf("%s: %w", k.name, err)
		}
		peer, err := newPeer(b.dir, fmt.Sprintf("%s-%s", s.name, k.name), statements)
		if err != nil {
			return err
		}
		s.asked = append(s.asked, asked{k.name, paths, peer})
	}
	return nil
}

// record answers the statements of each request. The first one is made twice: what an API learns once about a store
// is no request's part.
func (b *bench) record(ctx context.Context, api target, trace *recorder, paths []string) (all [][]statement, err error) {
	for i, path := range append(paths[:1:1], paths...) {
		if _, err := load(ctx, api, b.token, []string{path}, 1, 0); err != nil {
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
			benchingest.Progress("%s: %s, %d at once", s.name, a.kind, n)
			peer, err := a.peer.run(ctx, b.dir, s.url, b.server, n, b.opts.lasts)
			if err != nil {
				return fmt.Errorf("%s: %w", a.kind, err)
			}
			for _, mode := range b.opts.access {
				api := s.apis[mode]
				t := target{api.addr, api.cmd.Process.Pid, b.server}
				if _, err := load(ctx, t, b.token, a.paths, n, warmUp); err != nil {
					return fmt.Errorf("%s: %w", a.kind, err)
				}
				api.resetPeak()
				got, err := load(ctx, t, b.token, a.paths, n, b.opts.lasts)
				if err != nil {
					return fmt.Errorf("%s: %w", a.kind, err)
				}
				r.add(s.events, a.kind, mode, n, measured{got, peer, api.peak()})
			}
		}
	}
	if !slices.Contains(b.opts.kinds, kindExport) {
		return nil
	}
	for _, mode := range b.opts.access {
		e, err := s.export(ctx, s.apis[mode], b.token, b.opts.exported)
		if err != nil {
			return err
		}
		r.addExport(s.events, mode, e)
	}
	return nil
}
