package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"audittrail/bench/internal/benchingest"
	"audittrail/modules/event"
	"audittrail/modules/protect"
	"audittrail/modules/store"
	"audittrail/platform/kek"
)

// pageSize is how many events a page has.
const pageSize = 1000

// keyStore is a database that has keys of subjects 0 … keys-1, and two pages of events: the first of one subject, the
// second of 1,000 subjects. Each event has 8 sealed fields.
type keyStore struct {
	keys int
	url  string
	drop func() error
}

// fillStores makes a small store and a large one.
func (b *bench) fillStores(ctx context.Context) error {
	for _, keys := range []int{pageSize + 1, b.opts.keys} {
		url, drop, err := b.Database(ctx, b.program)
		if err != nil {
			return err
		}
		s := &keyStore{keys, url, drop}
		b.stores = append(b.stores, s)
		if err := b.fill(ctx, s); err != nil {
			return err
		}
	}
	return nil
}

func (b *bench) dropStores() (err error) {
	for _, s := range b.stores {
		err = errors.Join(err, s.drop())
	}
	return err
}

// fillAtOnce is how many keys are made at once.
const fillAtOnce = 10_000

func (b *bench) fill(ctx context.Context, s *keyStore) error {
	pool, err := pgxpool.New(ctx, s.url)
	if err != nil {
		return err
	}
	defer pool.Close()
	sealer, done, err := newSealer(ctx, &fillingKeys{KeyStore: store.NewKeys(pool), pool: pool})
	if err != nil {
		return err
	}
	defer done()
	begun := time.Now()
	for from := 0; from < s.keys; from += fillAtOnce {
		var events []event.Valid
		for n := from; n < min(from+fillAtOnce, s.keys); n++ {
			v, err := valid([]byte(fmt.Sprintf(`{"eventId":"00000000-0000-4000-8000-%012d","eventType":"Filled","aggregateId":"a","aggregateType":"A",`+
				`"timestamp":"2026-01-01T00:00:00Z","version":1,"payload":{"person":{"id":"P-%d","name":"x"}}}`, n+1, n)), 0)
			if err != nil {
				return err
			}
			events = append(events, v)
		}
		if _, err := sealer.Seal(ctx, events); err != nil {
			return err
		}
		if made := from + len(events); made%(10*fillAtOnce) == 0 {
			benchingest.Progress("%d of %d keys", made, s.keys)
		}
	}
	if err := b.appendPages(ctx, s, pool); err != nil {
		return err
	}
	if _, err := pool.Exec(ctx, "VACUUM ANALYZE"); err != nil {
		return err
	}
	benchingest.Progress("made %d keys in %s", s.keys, time.Since(begun).Round(time.Millisecond))
	return nil
}

// newSealer returns what seals all fields, by keys of a store.
func newSealer(ctx context.Context, keys protect.KeyStore) (_ *protect.Protector, done func(), err error) {
	checked, err := protect.NewRules(rules(len(fields())))
	if err != nil {
		return nil, nil, err
	}
	key, err := kek.Open(ctx, kekURL('a'))
	if err != nil {
		return nil, nil, err
	}
	ring := protect.NewKeyring(keys, func(context.Context) (protect.KEK, error) { return key, nil })
	return protect.WithRules(checked, ring), func() { _ = key.Close() }, nil
}

// fillingKeys is a store of keys that takes new ones by COPY, and looks for none: all are new.
type fillingKeys struct {
	protect.KeyStore
	pool  *pgxpool.Pool
	found map[protect.SubjectHash]protect.Subject // of the batch
}

// Subjects implements protect.KeyStore.
func (k *fillingKeys) Subjects(context.Context, []protect.SubjectHash) (map[protect.SubjectHash]protect.Subject, error) {
	found := k.found
	k.found = nil
	return found, nil
}

// CreateKeys implements protect.KeyStore. The keyring asks for the keys next. Foreign keys are not checked.
func (k *fillingKeys) CreateKeys(ctx context.Context, keys []protect.WrappedKey) error {
	k.found = map[protect.SubjectHash]protect.Subject{}
	rows := make([][]any, len(keys))
	for i := range keys {
		one := keys[i]
		k.found[one.Subject] = protect.Subject{Key: &one}
		rows[i] = []any{[16]byte(one.ID), one.Subject[:], [16]byte(one.By), one.Wrapped}
	}
	return pgx.BeginFunc(ctx, k.pool, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, "SET LOCAL session_replication_role = replica"); err != nil {
			return err
		}
		_, err := tx.CopyFrom(ctx, pgx.Identifier{"subject_keys"}, []string{"id", "subject", "wrapped_by", "wrapped"}, pgx.CopyFromRows(rows))
		return err
	})
}

// valid makes an event of a record's value.
func valid(value []byte, offset int64) (event.Valid, error) {
	decoded, rejected := event.Decode(event.Raw{Coordinates: event.Coordinates{TopicID: partition().TopicID, Topic: topic, Offset: offset}, Value: value})
	if rejected != nil {
		return event.Valid{}, errors.New(rejected.Detail)
	}
	v, rejected := decoded.Validate(event.DefaultRules(), time.Now())
	if rejected != nil {
		return event.Valid{}, errors.New(rejected.Detail)
	}
	return v, nil
}

func partition() store.Partition { return store.Partition{TopicID: event.TopicID{1}, Topic: topic} }

// appendPages stores the two pages, as positions 0 … 999 and 1000 … 1999.
func (b *bench) appendPages(ctx context.Context, s *keyStore, pool *pgxpool.Pool) error {
	appender := store.NewAppender(store.AppenderOptions{Pool: pool})
	if _, err := appender.EnsureOffsets(ctx, []store.PartitionStart{{Partition: partition()}}); err != nil {
		return err
	}
	reading, done, err := newSealer(ctx, store.NewKeys(pool)) // the keys are there now
	if err != nil {
		return err
	}
	defer done()
	for page := range int64(2) {
		var events []event.Valid
		for i := range pageSize {
			record := b.records[int(page)*pageSize+i]
			subject := 0
			if page == 1 {
				subject = 1 + i*((s.keys-1)/pageSize)
			}
			if err := addPerson(&record, subject); err != nil {
				return err
			}
			v, err := valid(record.Value, page*pageSize+int64(i))
			if err != nil {
				return err
			}
			events = append(events, v)
		}
		sealed, err := reading.Seal(ctx, events)
		if err != nil {
			return err
		}
		if _, err := appender.Append(ctx, store.Batch{Ranges: []store.Range{{Partition: partition(), From: page * pageSize, To: (page + 1) * pageSize}}, Events: sealed}); err != nil {
			return err
		}
	}
	return nil
}
