package audit

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"audittrail/modules/event"
	"audittrail/modules/ledger"
	"audittrail/modules/protect"
	"audittrail/modules/store"
)

// Row is what is kept of a row of events or of access_log once it is hashed.
type Row struct {
	ID        int64    // the batch and the index within it
	EventID   event.ID // zero for an entry of the access log
	Timestamp time.Time
	Leaf      ledger.Hash  // computed from the row
	Digest    event.Digest // computed from the row; its scheme alone if the row holds sealed values: only their key gives it
	Corrupt   error        // why the row can't be one, without leaf and digest; nil if it is one
}

// Batch returns the row's batch, which is part of its id.
func (r *Row) Batch() int64 {
	batch, _ := store.RowID(r.ID)
	return batch
}

// Index returns the row's index in its batch, which is the other part.
func (r *Row) Index() int {
	_, index := store.RowID(r.ID)
	return index
}

// It reads the pages of one partition; see Pages.source.
const eventPagesSQL = `SELECT ` + verifyColumns + ` FROM %s, ` + verifyDocuments + ` WHERE %s`

// verifyColumns are the columns of an event, in a form that Go can hold whatever somebody wrote there. NULL becomes
// a value that no event has, since Go has no infinite times either, and values longer than an event's are cut: none
// gives the event's leaf any more. Each function is called with exactly the types that it is declared with (trust.go).
const verifyColumns = `coalesce(id, -1),
	CASE WHEN isfinite(timestamp) THEN timestamp ELSE '0001-01-01Z' END,
	CASE WHEN isfinite(created_at) THEN created_at ELSE '0001-01-01Z' END,
	coalesce(event_id, '00000000-0000-0000-0000-000000000000'), coalesce(left(event_type::text, 1000), ''), coalesce(left(aggregate_type::text, 1000), ''),
	coalesce(left(aggregate_id::text, 1000), ''), coalesce(version, -1), coalesce(left(kafka_topic, 1000), ''), coalesce(kafka_partition, -1),
	coalesce(kafka_offset, -1), coalesce(substring(salt FOR 100), ''), payload_sent, metadata_sent, substring(sealed FOR 134217728)`

// verifyDocuments writes out both documents once (OFFSET 0), by jsonb_send: somebody may have replaced the cast to
// text. It leaves out documents that no record can have: a few kilobytes of jsonb may be numbers that take a
// gigabyte as text. An event's record has at most 64 MiB, and the spaces that PostgreSQL adds do not double it.
const verifyDocuments = `LATERAL (SELECT CASE WHEN octet_length(p) + octet_length(m) <= 134217728 THEN p ELSE '' END AS payload_sent,
		CASE WHEN octet_length(p) + octet_length(m) <= 134217728 THEN m ELSE '' END AS metadata_sent
	FROM (SELECT jsonb_send(payload) AS p, jsonb_send(metadata) AS m OFFSET 0) AS spelled) AS documents`

// Rows returns the rows of some pages, hashed.
func (v *View) Rows(ctx context.Context, p Pages) (list []Row, err error) {
	sql, scan := eventPagesSQL, scanEvent
	if p.Log == ledger.Access {
		sql, scan = accessPagesSQL, scanEntry
	}
	from, where := p.source()
	err = v.each(ctx, "read "+p.String(), func(rows pgx.Rows) error {
		row, err := scan(rows)
		list = append(list, row)
		return err
	}, fmt.Sprintf(sql, from, where))
	return list, err
}

// scanEvent reads and hashes a row of events.
func scanEvent(rows pgx.Rows) (Row, error) {
	id, e, err := store.ScanSentRow(rows)
	if err != nil && !store.IsCorrupt(err) {
		return Row{}, err
	}
	return hashRow(id, &e, err), nil
}

// hashRow computes the leaf and the digest of a row. Our format of times has four digits for the year, so other
// years become one that no event has.
func hashRow(id int64, e *event.Stored, corrupt error) Row {
	e.Timestamp, e.RecordedAt = spellable(e.Timestamp.UTC()), spellable(e.RecordedAt.UTC())
	row := Row{ID: id, EventID: e.ID, Timestamp: e.Timestamp, Corrupt: corrupt}
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
	Corrupt   error  // why it can't be read; nil if it can
}

const keyColumns = `coalesce(event_id, '00000000-0000-0000-0000-000000000000'), coalesce(batch, -1),
	CASE WHEN isfinite(timestamp) THEN timestamp ELSE '0001-01-01Z' END, coalesce(substring(digest FOR 100), '')`

// Keys returns the keys of some pages.
func (v *View) Keys(ctx context.Context, p Pages) (list []Key, err error) {
	from, where := p.source()
	err = v.each(ctx, "read "+p.String(), func(rows pgx.Rows) error {
		var k Key
		if err := rows.Scan((*[16]byte)(&k.EventID), &k.Batch, &k.Timestamp, &k.Digest); err != nil {
			return err
		}
		k.Timestamp = spellable(k.Timestamp.UTC())
		if len(k.Digest) == event.DigestSize && (k.Digest[0] == event.SchemeKeyed || k.Digest[0] == event.SchemeErased) {
			keyed := event.Digest{event.SchemeKeyed}
			k.Digest = keyed[:]
		}
		list = append(list, k)
		return nil
	}, `SELECT `+keyColumns+` FROM `+from+` WHERE `+where)
	return list, err
}
