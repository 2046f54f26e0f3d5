package store

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"time"

	"audittrail/modules/protect"
	"audittrail/platform/telemetry"

	"github.com/jackc/pgx/v5/pgconn"
)

const saltBytes = 16

// copyEventsSQL has the columns in the order of encodeRow. The format is PostgreSQL's binary COPY ("Binary Format"
// under COPY in its manual).
const copyEventsSQL = `COPY events (id, timestamp, created_at, kafka_offset, kafka_partition, version, event_id,
	event_type, aggregate_type, aggregate_id, kafka_topic, salt, payload, metadata, sealed) FROM STDIN BINARY`

const copyColumns = 15

var (
	copyHeader  = []byte("PGCOPY\n\xff\r\n\x00\x00\x00\x00\x00\x00\x00\x00\x00")
	copyTrailer = []byte{0xff, 0xff}
)

// rows are events encoded for COPY, one after the other.
type rows struct {
	buf  []byte
	ends []int // row i in buf ends at ends[i], and begins where row i-1 ends
}

// idAt is where the eight bytes of a row's id begin: after the column count and the field's length.
const idAt = 2 + 4

func encodeRows(events []protect.Sealed, recordedAt time.Time, salts []byte) rows {
	size := 0
	for i := range events {
		e := events[i].Event()
		size += 184 + len(e.Type) + len(e.AggregateType) + len(e.AggregateID) +
			len(events[i].Raw().Topic) + len(e.Payload) + len(e.Metadata) + len(events[i].Column())
	}
	r := rows{buf: make([]byte, 0, size), ends: make([]int, len(events))}
	created := postgresMicros(recordedAt)
	for i := range events {
		r.buf = encodeRow(r.buf, &events[i], created, salts[i*saltBytes:][:saltBytes])
		r.ends[i] = len(r.buf)
	}
	return r
}

func encodeRow(b []byte, s *protect.Sealed, created int64, salt []byte) []byte {
	e, raw := s.Event(), s.Raw()
	b = binary.BigEndian.AppendUint16(b, copyColumns)
	b = appendInt8(b, 0) // id: written after the dedupe
	b = appendInt8(b, postgresMicros(e.Timestamp))
	b = appendInt8(b, created)
	b = appendInt8(b, raw.Offset)
	b = appendInt4(b, raw.Partition)
	b = appendInt4(b, e.Version)
	b = binary.BigEndian.AppendUint32(b, uint32(len(e.ID)))
	b = append(b, e.ID[:]...)
	b = appendText(b, e.Type)
	b = appendText(b, e.AggregateType)
	b = appendText(b, e.AggregateID)
	b = appendText(b, raw.Topic)
	b = binary.BigEndian.AppendUint32(b, uint32(len(salt)))
	b = append(b, salt...)
	b = appendJSONB(b, e.Payload)
	b = appendJSONB(b, e.Metadata)
	sealed := s.Column()
	if sealed == nil {
		return binary.BigEndian.AppendUint32(b, 1<<32-1) // NULL
	}
	return append(binary.BigEndian.AppendUint32(b, uint32(len(sealed))), sealed...)
}

func appendInt8(b []byte, v int64) []byte {
	return binary.BigEndian.AppendUint64(append(b, 0, 0, 0, 8), uint64(v))
}

func appendInt4(b []byte, v int32) []byte {
	return binary.BigEndian.AppendUint32(append(b, 0, 0, 0, 4), uint32(v))
}

func appendText(b []byte, s string) []byte {
	return append(binary.BigEndian.AppendUint32(b, uint32(len(s))), s...)
}

// appendJSONB appends jsonb's binary form: a version byte, 1, and the text.
func appendJSONB(b, json []byte) []byte {
	b = binary.BigEndian.AppendUint32(b, uint32(len(json)+1))
	return append(append(b, 1), json...)
}

// postgresEpoch is 2000-01-01 in Unix microseconds. PostgreSQL's timestamps count from there.
const postgresEpoch = 946_684_800_000_000

func postgresMicros(t time.Time) int64 { return t.UnixMicro() - postgresEpoch }

func (r rows) row(i int32) (from, to int) {
	if i > 0 {
		from = r.ends[i-1]
	}
	return from, r.ends[i]
}

// number writes the row ids. Only the survivors of the dedupe are numbered, as 0 … n-1 of their batch.
func (r rows) number(survivors []int32, batch int64) {
	for index, i := range survivors {
		from, _ := r.row(i)
		binary.BigEndian.PutUint64(r.buf[from+idAt:], uint64(rowID(batch, index)))
	}
}

// reader returns the chosen rows as one COPY stream, without copying their bytes.
func (r rows) reader(chosen []int32) io.Reader {
	parts := []io.Reader{bytes.NewReader(copyHeader)}
	for at := 0; at < len(chosen); {
		from, to := r.row(chosen[at])
		for at++; at < len(chosen) && chosen[at] == chosen[at-1]+1; at++ {
			_, to = r.row(chosen[at])
		}
		parts = append(parts, bytes.NewReader(r.buf[from:to]))
	}
	return io.MultiReader(append(parts, bytes.NewReader(copyTrailer))...)
}

// rowID returns an event's row id. Row ids sort by batch, then by index.
func rowID(batch int64, index int) int64 { return batch<<14 | int64(index) }

// copyEvents (step 3) numbers the survivors and copies them into events.
func (t *transaction) copyEvents(ctx context.Context) error {
	if len(t.survivors) == 0 {
		return nil
	}
	t.plan.rows.number(t.survivors, t.batch)
	if err := t.copyRows(ctx, t.survivors); err != nil {
		return err
	}
	return t.copySealed(ctx)
}

// copyRows copies numbered rows.
func (t *transaction) copyRows(ctx context.Context, chosen []int32) error {
	ctx, span := telemetry.Within(ctx, "COPY events")
	defer span.End()
	tag, err := t.conn.PgConn().CopyFrom(ctx, t.plan.rows.reader(chosen), copyEventsSQL)
	telemetry.Fail(span, err)
	switch {
	case isRefusal(err):
		return &refusedError{cause: err}
	case err != nil:
		return fmt.Errorf("copy events: %w", err)
	case tag.RowsAffected() != int64(len(chosen)):
		return fmt.Errorf("copy events: %d of %d rows arrived", tag.RowsAffected(), len(chosen))
	}
	return nil
}

// isRefusal reports whether the data cause an error (SQLSTATE classes 22 data exception, 23 integrity constraint
// violation, 54 program limit exceeded). Other errors may pass.
func isRefusal(err error) bool {
	var pg *pgconn.PgError
	if !errors.As(err, &pg) || len(pg.Code) < 2 {
		return false
	}
	switch pg.Code[:2] {
	case "22", "23", "54":
		return true
	}
	return false
}
