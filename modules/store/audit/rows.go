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
	"audittrail/modules/store"
)

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

// Batch returns the row's batch, by its id.
func (r *EventRow) Batch() int64 {
	batch, _ := store.RowID(r.ID)
	return batch
}

// Index returns the row's index within its batch.
func (r *EventRow) Index() int {
	_, index := store.RowID(r.ID)
	return index
}

// By the pages of one partition; see Pages.source.
const eventPagesSQL = `SELECT ` + verifyColumns + ` FROM %s, ` + verifyDocuments + ` WHERE %s`

// verifyColumns are eventColumns in a shape that Go can hold, whatever somebody wrote there: what
// PostgreSQL calls infinite no time of Go's is, and memory is for what an event can be. What is cut does
// not give the event's leaf any more. Each function is called with exactly the types that it is made for
// (verify_trust.go).
const verifyColumns = `id,
	CASE WHEN isfinite(timestamp) THEN timestamp ELSE '0001-01-01Z' END,
	CASE WHEN isfinite(created_at) THEN created_at ELSE '0001-01-01Z' END,
	event_id, left(event_type::text, 1000), left(aggregate_type::text, 1000), left(aggregate_id::text, 1000), version,
	left(kafka_topic, 1000), kafka_partition, kafka_offset, substring(salt FOR 100), payload_sent, metadata_sent`

// verifyDocuments spells both documents once (OFFSET 0), as PostgreSQL sends jsonb: a cast to text could be
// one of somebody's own. It leaves out those that no record can have become: a few kilobytes of jsonb may
// be numbers that take a gigabyte. An event's record has 64 MiB at most; the spaces that PostgreSQL puts in
// do not double it.
const verifyDocuments = `LATERAL (SELECT CASE WHEN octet_length(p) + octet_length(m) <= 134217728 THEN p END AS payload_sent,
		CASE WHEN octet_length(p) + octet_length(m) <= 134217728 THEN m END AS metadata_sent
	FROM (SELECT jsonb_send(payload) AS p, jsonb_send(metadata) AS m OFFSET 0) AS spelled) AS documents`

// Rows reads the rows of some pages and hashes each.
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

// scanAnyRow is store.ScanSentRow for rows in which somebody may have put NULL.
func scanAnyRow(rows pgx.Rows) (id int64, e event.Stored, err error) {
	null := slices.IndexFunc(rows.RawValues(), func(value []byte) bool { return value == nil })
	if null < 0 {
		return store.ScanSentRow(rows)
	}
	var (
		known   *int64
		eventID *[16]byte
	)
	// The times are never NULL, and nothing else is needed to name the row.
	if err := rows.Scan(&known, &e.Timestamp, &e.RecordedAt, &eventID, nil, nil, nil, nil, nil, nil, nil, nil, nil, nil); err != nil {
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

// hashRow computes what a row says about itself. Years that a time of ours can't have are made one that
// no event has, since the spelling of times has four digits.
func hashRow(id int64, e *event.Stored, corrupt error) EventRow {
	e.Timestamp, e.RecordedAt = spellable(e.Timestamp.UTC()), spellable(e.RecordedAt.UTC())
	row := EventRow{ID: id, EventID: e.ID, Timestamp: e.Timestamp, RecordedAt: e.RecordedAt, Corrupt: corrupt}
	if corrupt == nil {
		row.Leaf, row.Digest = ledger.EventLeaf(e), e.Digest()
	}
	return row
}

func spellable(t time.Time) time.Time {
	if y := t.Year(); y < 1 || y > 9999 {
		return time.Date(1, 1, 1, 0, 0, 0, 0, time.UTC)
	}
	return t
}

// Named returns what is left of a row that can't be read: that it is there.
func (l Line) Named() EventRow {
	return EventRow{ID: l.ID, EventID: l.EventID, Timestamp: spellable(time.Time{}), RecordedAt: spellable(time.Time{}), Corrupt: l.Why}
}

// Key is a row of event_keys. What is NULL there is -1 or zero here, and so is no event's.
type Key struct {
	EventID   event.ID
	Batch     int64
	Timestamp time.Time
	Digest    []byte // its first byte is its scheme
}

const keyColumns = `coalesce(event_id, '00000000-0000-0000-0000-000000000000'), coalesce(batch, -1),
	CASE WHEN isfinite(timestamp) THEN timestamp ELSE '0001-01-01Z' END, coalesce(substring(digest FOR 100), '')`

// Keys reads the keys of some pages.
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
		return read(&k)
	}, `SELECT `+keyColumns+` FROM `+from+` WHERE `+where)
}
