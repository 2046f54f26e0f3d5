package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"audittrail/bench/internal/benchapi"
	"audittrail/bench/internal/benchingest"
	"audittrail/modules/protect"
	"audittrail/modules/store"
	"audittrail/platform/kek"
	"audittrail/platform/postgres"
)

// opened is reading one page of 1,000 events out of a store with so many keys.
type opened struct {
	Keys     int `json:"keys"`
	Subjects int `json:"subjects"` // of the page
	// Stored is the page with its values as they are stored, to which the others are compared. Warm has the keys in
	// memory, cold reads them for each page.
	Stored, Warm, Cold *reading
}

// reading is how a page was read.
type reading struct {
	Millis    series `json:"millisPerPage"`
	CPU       series `json:"cpuMicrosPerEvent"`           // of the reading process
	ServerCPU series `json:"postgresqlCpuMicrosPerEvent"` // of all of PostgreSQL's processes
}

// measureOpening measures the pages of both stores.
func (b *bench) measureOpening(ctx context.Context, r *report) error {
	for _, s := range b.stores {
		if err := b.measureStore(ctx, r, s); err != nil {
			return fmt.Errorf("%d keys: %w", s.keys, err)
		}
	}
	return nil
}

// opening reads the pages of one store.
type opening struct {
	conn   *pgx.Conn // by which PostgreSQL's processes are known
	reader *store.Reader
	ring   *protect.Keyring
	asked  atomic.Int64 // how often keys were read
	pages  int
}

// countingKeys counts how often keys are read.
type countingKeys struct {
	protect.KeyStore
	asked *atomic.Int64
}

// Keys implements protect.KeyStore.
func (k countingKeys) Keys(ctx context.Context, ids []protect.KeyID) ([]protect.WrappedKey, error) {
	k.asked.Add(1)
	return k.KeyStore.Keys(ctx, ids)
}

func (b *bench) measureStore(ctx context.Context, r *report, s *keyStore) (err error) {
	o := &opening{pages: b.opts.pages}
	if o.conn, err = pgx.Connect(ctx, s.url); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, o.conn.Close(context.WithoutCancel(ctx))) }()
	var pools [2]*pgxpool.Pool // of events, and of keys
	for i, name := range []string{"api", "keys"} {
		if pools[i], err = postgres.Open(ctx, postgres.PoolOptions{URL: s.url, Name: name, Role: "audittrail_api", MaxConns: 4, Parameters: benchapi.Parameters()}); err != nil {
			return err
		}
		defer pools[i].Close()
	}
	key, err := kek.Open(ctx, kekURL('a'))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, key.Close()) }()
	stored := store.NewKeys(pools[1])
	o.ring = protect.NewKeyring(countingKeys{stored, &o.asked}, func(context.Context) (protect.KEK, error) { return key, nil })
	o.reader = store.NewReader(store.ReaderOptions{Pool: pools[0], Opener: protect.NewOpener(o.ring)})
	watching, cancel := context.WithCancel(ctx)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		o.ring.Watch(watching, stored.Listen)
	}()
	defer func() {
		cancel()
		<-ended
	}()
	if err := b.Server.Settle(ctx); err != nil {
		return err
	}
	for page, subjects := range []int{1, pageSize} {
		one := &opened{Keys: s.keys, Subjects: subjects, Stored: &reading{}, Warm: &reading{}, Cold: &reading{}}
		r.Opening = append(r.Opening, one)
		for round := range b.opts.Rounds {
			if err := o.measure(ctx, page, one); err != nil {
				return err
			}
			benchingest.Progress("round %d of %d: page of %d subjects, %d keys: %.1f ms stored, %.1f warm, %.1f cold", round+1, b.opts.Rounds,
				subjects, s.keys, one.Stored.Millis[round], one.Warm.Millis[round], one.Cold.Millis[round])
		}
	}
	return nil
}

// measure takes one round of a page.
func (o *opening) measure(ctx context.Context, page int, into *opened) error {
	opens := store.WithOpening(ctx, store.Everything(), nil)
	if err := o.read(store.WithStoredForm(ctx), page, into.Stored, false, nil); err != nil {
		return err
	}
	if err := o.warm(opens, page); err != nil {
		return err
	}
	before := o.asked.Load()
	if err := o.read(opens, page, into.Warm, true, nil); err != nil {
		return err
	}
	if o.asked.Load() != before {
		return errors.New("keys were read where they should have been in memory: other work kept the process from listening; try again")
	}
	return o.read(opens, page, into.Cold, true, o.ring.Forget)
}

// warm opens a page until its keys stay in memory, which they do once the keyring listens.
func (o *opening) warm(ctx context.Context, page int) error {
	ctx, cancel := context.WithTimeoutCause(ctx, time.Minute, errors.New("the keys do not stay in memory"))
	defer cancel()
	for ctx.Err() == nil {
		before := o.asked.Load()
		if _, err := o.reader.Feed(ctx, store.Filter{}, int64(page*pageSize-1), pageSize); err != nil {
			return err
		}
		if o.asked.Load() == before {
			return nil
		}
	}
	return context.Cause(ctx)
}

// read reads a page many times, and calls before each time what is not nil.
func (o *opening) read(ctx context.Context, page int, into *reading, open bool, before func()) error {
	server, self := benchingest.Postmaster(o.conn), os.Getpid()
	cpu, serverCPU, begun := benchingest.CPUTime(self), benchingest.FamilyTime(server), time.Now()
	for range o.pages {
		if before != nil {
			before()
		}
		got, err := o.reader.Feed(ctx, store.Filter{}, int64(page*pageSize-1), pageSize)
		if err != nil {
			return err
		}
		last := got.Items[len(got.Items)-1].Event.Payload
		if len(got.Items) != pageSize || bytes.Contains(last, []byte(`"$sealed"`)) == open {
			return fmt.Errorf("a page has %d events, its last payload is %s", len(got.Items), last)
		}
	}
	took, events := time.Since(begun), float64(o.pages*pageSize)
	into.Millis = append(into.Millis, took.Seconds()*1e3/float64(o.pages))
	into.CPU = append(into.CPU, (benchingest.CPUTime(self)-cpu)/events*1e6)
	into.ServerCPU = append(into.ServerCPU, (benchingest.FamilyTime(server)-serverCPU)/events*1e6)
	return nil
}
