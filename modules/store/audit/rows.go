package audit

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"audittrail/modules/event"
	"audittrail/modules/ledger"
	"audittrail/modules/protect"
	"audittrail/modules/store"
)

// EventRow is what is kept of a row of events once it is hashed.
type EventRow struct {
	ID        int64 // the batch and the index within it
	EventID   event.ID
	Timestamp time.Time
	Leaf      ledger.Hash  // computed from the row
	Digest    event.Digest // computed from the row; its scheme alone if the row holds sealed values: only their key gives it
	Corrupt   error        // why the row is no event, without leaf and digest; nil if it is one
}

// Batch returns the row's batch, which is part of its id.
func (r *EventRow) Batch() int64 {
	batch, _ := store.RowID(r.ID)
	return batch
}

// Index returns the row's index in its batch, which is the other part.
func (r *EventRow) Index() int {
	_, index := store.RowID(r.ID)
	return index
}

// It reads the pages of one partition; see Pages.source.
const eventPagesSQL = `SELECT ` + verifyColumns + ` FROM %s, ` + verifyDocuments + ` WHERE %s`

// verifyColumns are the columns of an event, in a form that Go can hold whatever somebody wrote there. Go has no
// infinite times, and values longer than an event's are cut: they do not give the event's leaf any more. Each
// function is called with exactly the types that it is declared with (trust.go).
const verifyColumns = `id,
	CASE WHEN isfinite(timestamp) THEN timestamp ELSE '0001-01-01Z' END,
	CASE WHEN isfinite(created_at) THEN created_at ELSE '0001-01-01Z' END,
	event_id, left(event_type::text, 1000), left(aggregate_type::text, 1000), left(aggregate_id::text, 1000), version,
	left(kafka_topic, 1000), kafka_partition, kafka_offset, substring(salt FOR 100), payload_sent, metadata_sent, substring(sealed FOR 134217728)`

// verifyDocuments writes out both documents once (OFFSET 0), by jsonb_send: somebody may have replaced the cast to
// text. It leaves out documents that no record can have: a few kilobytes of jsonb may be numbers that take a
// gigabyte as text. An event's record has at most 64 MiB, and the spaces that PostgreSQL adds do not double it.
const verifyDocuments = `LATERAL (SELECT CASE WHEN octet_length(p) + octet_length(m) <= 134217728 THEN p END AS payload_sent,
		CASE WHEN octet_length(p) + octet_length(m) <= 134217728 THEN m END AS metadata_sent
	FROM (SELECT jsonb_send(payload) AS p, jsonb_send(metadata) AS m OFFSET 0) AS spelled) AS documents`

// Rows calls read for each row of some pages, hashed.
func (v *View) Rows(ctx context.Context, p Pages, read func(*EventRow) error) error {
	from, where := p.source()
	return v.each(ctx, "read "+p.Place(), func(rows pgx.Rows) error {
		id, e, err := scanAnyRow(rows)
		if err != nil && !store.IsCorrupt(err) {
			return err
		}
		row := hashRow(id, &e, err)
		return read(&row)
	}, fmt.Sprintf(eventPagesSQL, from, where))
}

// scanAnyRow is store.ScanSentRow for rows that may have NULL in any column.
func scanAnyRow(rows pgx.Rows) (id int64, e event.Stored, err error) {
	values := rows.RawValues()
	null := slices.IndexFunc(values[:len(values)-1], func(value []byte) bool { return value == nil }) // most events have no sealed values
	if null < 0 {
		return store.ScanSentRow(rows)
	}
	var (
		known   *int64
		eventID *[16]byte
	)
	// The ids name the row. The times are never NULL.
	if err := rows.Scan(&known, &e.Timestamp, &e.RecordedAt, &eventID, nil, nil, nil, nil, nil, nil, nil, nil, nil, nil, nil); err != nil {
		return 0, event.Stored{}, err
	}
	if id = -1; known != nil {
		id = *known
	}
	if eventID != nil {
		e.ID = event.ID(*eventID)
	}
	return id, e, store.CorruptRow(id, "it holds nothing, or too much, as its "+strings.TrimSuffix(rows.FieldDescriptions()[null].Name, "_sent"))
}

// hashRow computes the leaf and the digest of a row. Our format of times has four digits for the year, so other
// years become one that no event has.
func hashRow(id int64, e *event.Stored, corrupt error) EventRow {
	e.Timestamp, e.RecordedAt = spellable(e.Timestamp.UTC()), spellable(e.RecordedAt.UTC())
	row := EventRow{ID: id, EventID: e.ID, Timestamp: e.Timestamp, Corrupt: corrupt}
	if corrupt == nil {
		row.Leaf, row.Digest = ledger.EventLeaf(e), e.Digest()
		if protect.HasSealed(&e.Event) {
			row.Digest = event.Digest{event.SchemeKeyed}
		}
	}
	return row
}

func spellable(t time.Time) time.Time {
	if y := t.Year(); y < 1 || y > 9999 {
		return time.Date(1, 1, 1, 0, 0, 0, 0, time.UTC)
	}
	return t
}

// Key is a row of event_keys. NULL is -1 or zero here, which no event has.
type Key struct {
	EventID   event.ID
	Batch     int64
	Timestamp time.Time
	Digest    []byte // its first byte is its scheme; nothing else is read of a digest that is keyed, or erased
}

const keyColumns = `coalesce(event_id, '00000000-0000-0000-0000-000000000000'), coalesce(batch, -1),
	CASE WHEN isfinite(timestamp) THEN timestamp ELSE '0001-01-01Z' END, coalesce(substring(digest FOR 100), '')`

// Keys calls read for each key of some pages.
func (v *View) Keys(ctx context.Context, p Pages, read func(*Key) error) error {
	from, where := p.source()
	return v.each(ctx, "read "+p.Place(), func(rows pgx.Rows) error {
		var (
			k  Key
			id [16]byte
		)
		if err := rows.Scan(&id, &k.Batch, &k.Timestamp, &k.Digest); err != nil {
			return err
		}
		k.EventID, k.Timestamp = event.ID(id), spellable(k.Timestamp.UTC())
		if len(k.Digest) == event.DigestSize && (k.Digest[0] == event.SchemeKeyed || k.Digest[0] == event.SchemeErased) {
			keyed := event.Digest{event.SchemeKeyed}
			k.Digest = keyed[:]
		}
		return read(&k)
	}, `SELECT `+keyColumns+` FROM `+from+` WHERE `+where)
}
