package store

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype"

	"audittrail/modules/event"
	"audittrail/modules/ledger"
)

// Pages is a run of neighbouring pages of one partition of events, or of event_keys: a piece of work
// that one View reads at a time.
type Pages struct {
	From, To int64 // without To
	span     span  // the partition; zero for event_keys
}

// pagesAtATime makes pieces of 4 MiB of table: long enough that asking for one costs nothing, short
// enough that workers end together.
const pagesAtATime = 512

// By pg_inherits' indexes.
const partitionPagesSQL = `
	SELECT substring(bound FROM $$FROM \('([^']*)'\)$$)::timestamptz,
	       substring(bound FROM $$TO \('([^']*)'\)$$)::timestamptz, oid,
	       pg_relation_size(oid) / current_setting('block_size')::bigint
	FROM (SELECT c.oid, pg_get_expr(c.relpartbound, c.oid) AS bound
	      FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
	      WHERE i.inhparent = 'events'::regclass AND NOT i.inhdetachpending) AS partitions
	ORDER BY 1 NULLS FIRST`

const keyPagesSQL = `SELECT pg_relation_size('event_keys') / current_setting('block_size')::bigint`

// EventPages are all pages of events' partitions. Rows of the snapshot can't lie behind them.
func (v *View) EventPages(ctx context.Context) ([]Pages, error) {
	var list []Pages
	err := v.each(ctx, "read partitions", func(rows pgx.Rows) error {
		var (
			lower, upper pgtype.Timestamptz
			s            span
			pages        int64
		)
		if err := rows.Scan(&lower, &upper, &s.partition, &pages); err != nil {
			return err
		}
		s.lower, s.upper = bound(lower), bound(upper)
		list = appendPages(list, s, pages)
		return nil
	}, partitionPagesSQL)
	return list, err
}

// KeyPages are all pages of event_keys.
func (v *View) KeyPages(ctx context.Context) ([]Pages, error) {
	var pages int64
	if err := v.tx.QueryRow(ctx, keyPagesSQL).Scan(&pages); err != nil {
		return nil, fmt.Errorf("read size of event_keys: %w", err)
	}
	return appendPages(nil, span{}, pages), nil
}

func appendPages(list []Pages, s span, pages int64) []Pages {
	for from := int64(0); from < pages; from += pagesAtATime {
		list = append(list, Pages{From: from, To: min(from+pagesAtATime, pages), span: s})
	}
	return list
}

// Uncovered are the stretches of time that no partition of events holds: what happened there was
// archived, or is gone. A zero bound is open. It is sorted.
func (v *View) Uncovered(ctx context.Context) ([]Stretch, error) {
	var spans []span
	err := v.each(ctx, "read partitions", func(rows pgx.Rows) error {
		var lower, upper pgtype.Timestamptz
		if err := rows.Scan(&lower, &upper, nil, nil); err != nil {
			return err
		}
		spans = append(spans, span{lower: bound(lower), upper: bound(upper), partition: 1})
		return nil
	}, partitionPagesSQL)
	if err != nil {
		return nil, err
	}
	var gaps []Stretch
	for _, s := range fill(spans) {
		if s.partition == 0 {
			gaps = append(gaps, Stretch{s.lower, s.upper})
		}
	}
	return gaps, nil
}

// Stretch is a part of the time axis, from From up to To without To. A zero bound is open.
type Stretch struct{ From, To time.Time }

// Holds says whether t lies in the stretch.
func (s Stretch) Holds(t time.Time) bool {
	return (s.From.IsZero() || !t.Before(s.From)) && (s.To.IsZero() || t.Before(s.To))
}

// EventRow is what remains of a row of events once it was hashed.
type EventRow struct {
	ID         int64 // the batch and the index within it
	EventID    event.ID
	Timestamp  time.Time
	RecordedAt time.Time
	Leaf       ledger.Hash  // computed from the row
	Digest     event.Digest // computed from the row
	Corrupt    error        // the row is no event: it has neither leaf nor digest
}

// Batch and Index are the two parts of the row's id.
func (r *EventRow) Batch() int64 { return r.ID >> indexBits }

// Index is the row's index within its batch.
func (r *EventRow) Index() int { return int(r.ID & indexMask) }

// By the table's pages (Tid Range Scan) of the one partition that the literals leave. Through the parent,
// since nobody has rights on partitions. What PostgreSQL calls infinite no Go time holds.
const eventPagesSQL = `SELECT ` + verifyColumns + ` FROM events WHERE %s AND ctid >= '(%d,0)' AND ctid < '(%d,0)'`

// verifyColumns are eventColumns with times that Go can hold.
const verifyColumns = `id,
	CASE WHEN isfinite(timestamp) THEN timestamp ELSE '0001-01-01Z' END,
	CASE WHEN isfinite(created_at) THEN created_at ELSE '0001-01-01Z' END,
	event_id, event_type, aggregate_type, aggregate_id, version,
	kafka_topic, kafka_partition, kafka_offset, salt, payload, metadata`

// Rows reads the rows of some pages and hashes each. ErrUnreadable says that one of them has values which
// no event has, and that those behind it were not read.
func (v *View) Rows(ctx context.Context, p Pages, read func(*EventRow) error) error {
	sql := fmt.Sprintf(eventPagesSQL, p.span.condition(), p.From, p.To)
	err := v.each(ctx, "read events", func(rows pgx.Rows) error {
		r, err := scanRow(rows)
		if err != nil && !errors.Is(err, errCorrupt) {
			return err
		}
		facts := hashRow(&r, err)
		return read(&facts)
	}, sql)
	var scan pgx.ScanArgError
	if errors.As(err, &scan) {
		return fmt.Errorf("%w: %w", ErrUnreadable, err)
	}
	return err
}

// ErrUnreadable is a row whose columns hold what no append can have written.
var ErrUnreadable = errors.New("a row's columns do not hold an event's values")

// Place says which pages they are, for people.
func (p Pages) Place() string {
	return fmt.Sprintf("pages %d to %d of the partition with %s", p.From, p.To-1,
		strings.TrimPrefix(p.span.condition(), "true AND "))
}

// hashRow computes what a row says about itself. Years that a time of ours can't have are made one that
// no event has, since the spelling of times has four digits.
func hashRow(r *row, corrupt error) EventRow {
	e := &r.stored
	e.Timestamp, e.RecordedAt = spellable(e.Timestamp), spellable(e.RecordedAt)
	facts := EventRow{ID: r.id, EventID: e.ID, Timestamp: e.Timestamp, RecordedAt: e.RecordedAt, Corrupt: corrupt}
	if corrupt == nil {
		facts.Leaf, facts.Digest = ledger.EventLeaf(e), e.Digest()
	}
	return facts
}

func spellable(t time.Time) time.Time {
	if y := t.Year(); y < 1 || y > 9999 {
		return time.Date(1, 1, 1, 0, 0, 0, 0, time.UTC)
	}
	return t
}

// Key is a row of event_keys.
type Key struct {
	EventID   event.ID
	Batch     int64
	Timestamp time.Time
	Digest    []byte // not to be kept; its first byte is its scheme
}

// By the table's pages (Tid Range Scan).
const keyColumns = `event_id, batch, CASE WHEN isfinite(timestamp) THEN timestamp ELSE '0001-01-01Z' END, digest`

// Keys reads the keys of some pages.
func (v *View) Keys(ctx context.Context, p Pages, read func(*Key) error) error {
	return v.keys(ctx, read, fmt.Sprintf(`SELECT `+keyColumns+` FROM event_keys WHERE ctid >= '(%d,0)' AND ctid < '(%d,0)'`, p.From, p.To))
}

// KeysOf reads the keys of batches, by a walk over all keys.
func (v *View) KeysOf(ctx context.Context, batches []int64, read func(*Key) error) error {
	return v.keys(ctx, read, `SELECT `+keyColumns+` FROM event_keys WHERE batch = ANY ($1)`, batches)
}

// KeysByID reads the keys of some event ids: event_keys' primary key.
func (v *View) KeysByID(ctx context.Context, ids []event.ID, read func(*Key) error) error {
	list := make([][16]byte, len(ids))
	for i, id := range ids {
		list[i] = id
	}
	return v.keys(ctx, read, `SELECT `+keyColumns+` FROM event_keys WHERE event_id = ANY ($1::uuid[])`, list)
}

func (v *View) keys(ctx context.Context, read func(*Key) error, sql string, args ...any) error {
	var (
		k  Key
		id [16]byte
	)
	return v.each(ctx, "read event keys", func(rows pgx.Rows) error {
		if err := rows.Scan(&id, &k.Batch, &k.Timestamp, &k.Digest); err != nil {
			return err
		}
		k.EventID, k.Timestamp = event.ID(id), spellable(k.Timestamp.UTC())
		return read(&k)
	}, sql, args...)
}
