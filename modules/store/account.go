package store

import (
	"context"
	"crypto/sha256"
	"fmt"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"audittrail/modules/event"
)

// The end of the append transaction: the accounting of each offset, the batch's position in the ledger, COMMIT.
const (
	deadLetterSQL = `WITH letter AS (
			INSERT INTO dead_letters (received_at, topic_id, topic, partition, "offset", reason, field, detail,
				key, value, header_keys, header_values, value_length, value_sha256, sealed_by, record_time)
			VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16) RETURNING id)
		INSERT INTO dead_letter_outbox (dead_letter_id) SELECT id FROM letter`

	rangeSQL = `INSERT INTO ingest_ranges (topic_id, partition, from_offset, to_offset, stored, duplicates,
			dead_lettered, absent, batch, recorded_at)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)`

	lockLedgerSQL = `SELECT pg_advisory_xact_lock($1)`

	// It uses the primary key of ledger_batches. It MUST be a statement of its own after the lock: only then does
	// its snapshot have the last batch.
	numberSQL = `INSERT INTO ledger_batches (log, first_position, batch, count, recorded_at, earliest, latest, leaves)
		SELECT 'events', coalesce((SELECT first_position + count FROM ledger_batches
			WHERE log = 'events' ORDER BY first_position DESC LIMIT 1), 0), $1, $2, $3, $4, $5, $6
		RETURNING first_position`

	commitSQL = `COMMIT`

	// notifySQL wakes who listens (listen.go). It comes after COMMIT, as a transaction of its own in the same
	// flush: inside the append it would hold a lock of the whole cluster while COMMIT waits for the disk, and
	// a listener that is stuck for long enough would make COMMIT itself fail.
	notifySQL = `NOTIFY ` + appendedChannel
)

// accountAndCommit writes the dead letters and the ranges (steps 3 and 4), numbers the batch in the
// ledger (step 5) and commits, in one flush, so that the ledger's lock is held for one fsync and no
// round trip. It returns the first position, or -1 if nothing survived.
func (t *transaction) accountAndCommit(ctx context.Context) (int64, error) {
	var batch pgx.Batch
	if t.plan.redrive == nil { // whose offsets are accounted for
		t.queueDeadLetters(&batch)
		t.queueRanges(&batch)
	}
	before := batch.Len()
	if len(t.survivors) > 0 {
		earliest, latest := t.span()
		batch.Queue(lockLedgerSQL, lockLedgerEvents)
		batch.Queue(numberSQL, t.batch, len(t.survivors), t.plan.recordedAt, earliest, latest, t.leaves())
	}
	batch.Queue(commitSQL)
	if len(t.survivors) > 0 {
		batch.Queue(notifySQL)
	}

	results := t.conn.SendBatch(ctx, &batch)
	defer results.Close() //nolint:errcheck // closed and checked below; this one is for early returns
	for range before {
		if _, err := results.Exec(); err != nil {
			return -1, fmt.Errorf("account: %w", err)
		}
	}
	first := int64(-1)
	if len(t.survivors) > 0 {
		if _, err := results.Exec(); err != nil {
			return -1, fmt.Errorf("lock ledger: %w", err)
		}
		if err := results.QueryRow().Scan(&first); err != nil {
			return -1, fmt.Errorf("number batch: %w", err)
		}
	}
	tag, err := results.Exec()
	if err != nil {
		return -1, fmt.Errorf("commit: %w", err)
	}
	if tag.String() != commitSQL { // COMMIT of a failed transaction answers ROLLBACK, without an error
		return -1, fmt.Errorf("commit: answered %q", tag.String())
	}
	_ = results.Close() // a notification that failed is made good for by those who wait: they also ask
	return first, nil
}

// span returns the earliest and the latest timestamp of the survivors.
func (t *transaction) span() (earliest, latest time.Time) {
	for i, at := range t.survivors {
		stamp := t.plan.events[at].Event().Timestamp
		if i == 0 || stamp.Before(earliest) {
			earliest = stamp
		}
		if i == 0 || stamp.After(latest) {
			latest = stamp
		}
	}
	return earliest, latest
}

func (t *transaction) queueDeadLetters(batch *pgx.Batch) {
	for i := range t.plan.rejected {
		t.queueDeadLetter(batch, &t.plan.rejected[i])
	}
	for i, v := range t.verdicts {
		if v == conflict {
			t.queueDeadLetter(batch, &event.Rejected{
				Raw: *t.plan.events[i].Raw(), Reason: event.EventIDConflict, Field: "eventId",
				Detail: conflictDetail,
			})
		}
	}
}

const conflictDetail = "an event with this id and other content is already stored"

func (t *transaction) queueDeadLetter(batch *pgx.Batch, r *event.Rejected) {
	keys := make([][]byte, len(r.Raw.Headers))
	values := make([][]byte, len(r.Raw.Headers))
	for i, h := range r.Raw.Headers {
		keys[i], values[i] = []byte(h.Key), h.Value
	}
	length, sum := valueOf(&r.Raw)
	value, sealedBy := r.Raw.Value, (*[16]byte)(nil)
	if key := t.plan.letters; key != nil { // a hash would confirm a guess of the value
		value, sum, sealedBy = key.Seal(&r.Raw), nil, (*[16]byte)(&key.ID)
	}
	batch.Queue(deadLetterSQL, t.plan.recordedAt, [16]byte(r.Raw.TopicID), r.Raw.Topic, r.Raw.Partition, r.Raw.Offset,
		string(r.Reason), storable(r.Field), storable(r.Detail), r.Raw.Key, value, keys, values, length, sum, sealedBy, recordTime(r.Raw.Time))
}

// recordTime is a record's own timestamp, or nil where it has none. Producers may send any number.
func recordTime(at time.Time) *time.Time {
	if at.IsZero() || at.Year() < 1 || at.Year() > 9999 {
		return nil
	}
	return &at
}

// valueOf returns the length and the SHA-256 of a record's whole value, or nil if it has none.
func valueOf(r *event.Raw) (length *int64, sum []byte) {
	if r.Oversize != nil {
		return &r.Oversize.Length, r.Oversize.SHA256[:]
	}
	if r.Value == nil {
		return nil, nil
	}
	n, hash := int64(len(r.Value)), sha256.Sum256(r.Value)
	return &n, hash[:]
}

// storable returns a text that PostgreSQL accepts: a dead letter's field may be a member name of the record.
func storable(s string) string {
	return strings.ReplaceAll(strings.ToValidUTF8(s, "\uFFFD"), "\x00", "\uFFFD")
}

func (t *transaction) queueRanges(batch *pgx.Batch) {
	type counts [conflict + 1]int
	of := make([]counts, len(t.plan.ranges))
	for i, v := range t.verdicts {
		of[t.plan.rangeOf[i]][v]++
	}
	t.outcomes = make([]Outcome, len(t.plan.ranges))
	for i, r := range t.plan.ranges {
		n := of[i]
		o := Outcome{Partition: r.Partition, Stored: n[survives], Duplicates: n[duplicate],
			DeadLettered: n[conflict] + t.plan.rejectedIn[i], Absent: r.Absent}
		t.outcomes[i] = o
		var number *int64
		if o.Stored > 0 {
			number = &t.batch
		}
		batch.Queue(rangeSQL, [16]byte(r.TopicID), r.Number, r.From, r.To, o.Stored, o.Duplicates,
			o.DeadLettered, o.Absent, number, t.plan.recordedAt)
	}
}
