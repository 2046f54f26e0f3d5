package store

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype"

	"audittrail/modules/event"
	"audittrail/modules/protect"
)

// eventColumns are what scanRow reads.
const eventColumns = `id, timestamp, created_at, event_id, event_type, aggregate_type, aggregate_id, version,
	kafka_topic, kafka_partition, kafka_offset, salt, payload, metadata, sealed`

// positionColumn is the first position of e's batch, by the unique index (log, batch) of ledger_batches.
const positionColumn = `(SELECT first_position FROM ledger_batches WHERE log = 'events' AND batch = e.id >> 14)`

// indexMask is the bits of a row's id that are its index in the batch; the other bits are the batch.
const (
	indexBits = 14
	indexMask = 1<<indexBits - 1
)

// row is an event with the key that orders lists.
type row struct {
	id     int64
	stored event.Stored
	sealed bool // it holds sealed values
}

// size returns roughly how many bytes the event's JSON has.
func (r *row) size() int {
	e := &r.stored
	return 450 + len(e.Payload) + len(e.Metadata) + len(e.Type) + len(e.AggregateType) + len(e.AggregateID) + len(e.Kafka.Topic)
}

// batchesSQL uses the unique index (log, batch) of ledger_batches.
const batchesSQL = `SELECT batch, first_position FROM ledger_batches WHERE log = 'events' AND batch = ANY ($1)`

// number sets the rows' positions.
func number(ctx context.Context, conn *pgx.Conn, rows []row) error {
	var batches []int64
	for i := range rows {
		if b := rows[i].id >> indexBits; i == 0 || b != rows[i-1].id>>indexBits {
			batches = append(batches, b)
		}
	}
	if len(batches) == 0 {
		return nil
	}
	slices.Sort(batches)
	batches = slices.Compact(batches)
	firsts := make(map[int64]int64, len(batches))
	var batch, first int64
	found, _ := conn.Query(ctx, batchesSQL, batches)
	if _, err := pgx.ForEachRow(found, []any{&batch, &first}, func() error { firsts[batch] = first; return nil }); err != nil {
		return err
	}
	for i := range rows {
		first, ok := firsts[rows[i].id>>indexBits]
		if !ok {
			return unknownBatch(rows[i].id)
		}
		rows[i].stored.Position = first + rows[i].id&indexMask
	}
	return nil
}

// scanNumbered reads a row with the first position of its batch behind the columns.
func scanNumbered(rows pgx.Rows) (row, error) {
	var first *int64
	r, err := scanRow(rows, &first)
	if err != nil {
		return row{}, err
	}
	if first == nil {
		return row{}, unknownBatch(r.id)
	}
	r.stored.Position = *first + r.id&indexMask
	return r, nil
}

func unknownBatch(id int64) error {
	return fmt.Errorf("event row %d: %w: its batch is unknown", id, errCorrupt)
}

// scanRow reads a row of events into an event, except for its position. No other code does. jsonb has an order and a
// format of its own, so payload and metadata are made canonical again. more gets the columns after eventColumns. The
// error wraps errCorrupt if the row was read but is no event; the row's other columns are then set.
func scanRow(rows pgx.Rows, more ...any) (row, error) {
	var (
		r                 row
		payload, metadata pgtype.DriverBytes // good until the next row
		sealed            []byte
	)
	salt, err := r.scanColumns(rows, append([]any{&payload, &metadata, &sealed}, more...)...)
	if err != nil {
		return row{}, err
	}
	return r, r.fill(salt, payload, metadata, sealed)
}

// scanColumns reads all columns but the documents, which targets are for, with what is behind them.
func (r *row) scanColumns(rows pgx.Rows, targets ...any) (salt []byte, err error) {
	var (
		e  = &r.stored
		id [16]byte
	)
	all := append(make([]any, 0, 16), &r.id, &e.Timestamp, &e.RecordedAt, &id, &e.Type, &e.AggregateType, &e.AggregateID, &e.Version,
		&e.Kafka.Topic, &e.Kafka.Partition, &e.Kafka.Offset, &salt)
	if err := rows.Scan(append(all, targets...)...); err != nil {
		return nil, err
	}
	e.ID = event.ID(id)
	e.Timestamp, e.RecordedAt = utc(e.Timestamp), utc(e.RecordedAt)
	return salt, nil
}

// fill sets the event's members from a row's columns. Its error wraps errCorrupt.
func (r *row) fill(salt, payload, metadata, sealed []byte) (err error) {
	e := &r.stored
	if len(salt) != len(e.Salt) {
		return fmt.Errorf("event row %d: %w: its salt has %d bytes", r.id, errCorrupt, len(salt))
	}
	copy(e.Salt[:], salt)
	// One piece of memory for both, since an export makes millions. A canonical form is hardly ever longer.
	space := make([]byte, 0, len(payload)+len(metadata))
	if e.Payload, err = event.Canonicalize(space, payload); err != nil {
		return fmt.Errorf("event row %d: payload: %w: %w", r.id, errCorrupt, err)
	}
	rest := e.Payload[len(e.Payload):]
	e.Payload = e.Payload[:len(e.Payload):len(e.Payload)]
	if e.Metadata, err = event.Canonicalize(rest, metadata); err != nil {
		return fmt.Errorf("event row %d: metadata: %w: %w", r.id, errCorrupt, err)
	}
	if sealed == nil {
		return nil
	}
	if len(sealed) == 0 { // a row without sealed values has NULL
		return fmt.Errorf("event row %d: %w: its sealed values are empty", r.id, errCorrupt)
	}
	r.sealed = true
	if e.Payload, e.Metadata, err = protect.Expand(e.Payload, e.Metadata, sealed); err != nil {
		return fmt.Errorf("event row %d: %w: %w", r.id, errCorrupt, err)
	}
	return nil
}

func utc(t time.Time) time.Time { return t.UTC() }

// collector collects a page's rows until the page is full.
type collector struct {
	limit, bytes int // what is left of the page
	rows         []row
	full         bool // a row did not fit: there are more
}

// add adds a row if it fits on the page. The first row always does.
func (c *collector) add(r row) bool {
	if len(c.rows) >= c.limit || len(c.rows) > 0 && r.size() > c.bytes {
		c.full = true
		return false
	}
	if n := len(c.rows); n == cap(c.rows) { // append copies large pages more often
		c.rows = slices.Grow(c.rows, min(max(3*n, 16), c.limit-n))
	}
	c.rows = append(c.rows, r)
	c.bytes -= r.size()
	return true
}
