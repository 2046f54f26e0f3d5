package store

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"audittrail/modules/event"
)

// The append transaction, step by step. READ COMMITTED is part of the design: each statement has to
// see what was committed while the one before it waited for a lock.
const (
	beginSQL = `BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE`

	// A deferred constraint of an operator's own would refuse a row at COMMIT, where none can be told from
	// the others any more.
	checkAtOnceSQL = `SET CONSTRAINTS ALL IMMEDIATE`

	// By primary key. The old value in the condition is the fence: 0 rows means that somebody else has
	// moved the partition on, or that this very batch has.
	fenceSQL = `UPDATE ingest_offsets SET next_offset = $1, leader_epoch = $2, updated_at = $3
		WHERE topic_id = $4 AND partition = $5 AND next_offset = $6`

	nextBatchSQL = `SELECT nextval('event_batches')`

	// By event_keys' primary key. unnest keeps the arrays' order, which is the order of the locks.
	takeKeysSQL = `INSERT INTO event_keys (event_id, batch, timestamp, digest)
		SELECT k.event_id, $1, k.timestamp, k.digest
		FROM unnest($2::uuid[], $3::timestamptz[], $4::bytea[]) AS k (event_id, timestamp, digest)
		ON CONFLICT (event_id) DO NOTHING`

	// A statement of its own after takeKeysSQL, so that it sees the rows that the insert waited for.
	holdersSQL = `SELECT event_id, batch, digest FROM event_keys WHERE event_id = ANY ($1::uuid[])`
)

// transaction is one try of a plan.
type transaction struct {
	conn *pgx.Conn
	plan *plan

	batch      int64 // drawn from a sequence; a try that fails leaves a hole, positions have none
	verdicts   []verdict
	survivors  []int32 // of plan.events, in the batch's order
	duplicates int
	conflicts  int
	outcomes   []Outcome // of plan.ranges
}

// fencedError: these partitions are not where the batch begins. Nothing was written.
type fencedError struct{ ranges []Range }

func (e *fencedError) Error() string {
	return fmt.Sprintf("%d partitions are fenced off", len(e.ranges))
}

// refusedError: PostgreSQL itself will not have one of the events, however often it is sent.
type refusedError struct{ cause error }

func (e *refusedError) Error() string { return "PostgreSQL refused an event: " + e.cause.Error() }
func (e *refusedError) Unwrap() error { return e.cause }

// fence (step 1) moves each partition on from where the last batch ended. The counts are read before
// anything else is sent.
func (t *transaction) fence(ctx context.Context) error {
	var batch pgx.Batch
	batch.Queue(beginSQL)
	batch.Queue(checkAtOnceSQL)
	for _, r := range t.plan.ranges {
		batch.Queue(fenceSQL, r.To, r.LeaderEpoch, t.plan.recordedAt, [16]byte(r.TopicID), r.Number, r.From)
	}
	batch.Queue(nextBatchSQL)
	results := t.conn.SendBatch(ctx, &batch)
	defer results.Close() //nolint:errcheck // closed and checked below; this one is for early returns
	for range 2 {
		if _, err := results.Exec(); err != nil {
			return fmt.Errorf("begin: %w", err)
		}
	}
	var fenced fencedError
	for _, r := range t.plan.ranges {
		tag, err := results.Exec()
		if err != nil {
			return fmt.Errorf("fence %s/%d: %w", r.Topic, r.Number, err)
		}
		if tag.RowsAffected() == 0 {
			fenced.ranges = append(fenced.ranges, r)
		}
	}
	if err := results.QueryRow().Scan(&t.batch); err != nil {
		return fmt.Errorf("draw batch number: %w", err)
	}
	if err := results.Close(); err != nil {
		return fmt.Errorf("fence: %w", err)
	}
	if len(fenced.ranges) > 0 {
		return &fenced
	}
	return nil
}

// dedupe (step 2) takes the batch's event ids, and judges the events whose id is taken already.
func (t *transaction) dedupe(ctx context.Context) error {
	if len(t.plan.events) == 0 {
		return nil
	}
	keys := t.plan.keyArrays()
	statement, err := t.conn.Prepare(ctx, "audittrail_take_keys", takeKeysSQL)
	if err != nil {
		return fmt.Errorf("take event ids: %w", err)
	}
	binary := []int16{pgx.BinaryFormatCode}
	result := t.conn.PgConn().ExecPrepared(ctx, statement.Name,
		[][]byte{appendInt8(nil, t.batch)[4:], keys.ids, keys.timestamps, keys.digests}, binary, binary).Read()
	if result.Err != nil {
		return fmt.Errorf("take event ids: %w", result.Err)
	}
	var holders map[event.ID]holder
	if result.CommandTag.RowsAffected() < int64(len(t.plan.groups)) {
		if holders, err = t.readHolders(ctx, keys.ids); err != nil {
			return fmt.Errorf("read event ids: %w", err)
		}
	}
	t.verdicts = t.plan.judge(t.batch, holders)
	t.survivors = make([]int32, 0, len(t.verdicts))
	for i, v := range t.verdicts {
		switch v {
		case survives:
			t.survivors = append(t.survivors, int32(i))
		case duplicate:
			t.duplicates++
		case conflict:
			t.conflicts++
		}
	}
	return nil
}

func (t *transaction) readHolders(ctx context.Context, ids []byte) (map[event.ID]holder, error) {
	statement, err := t.conn.Prepare(ctx, "audittrail_holders", holdersSQL)
	if err != nil {
		return nil, err
	}
	binary := []int16{pgx.BinaryFormatCode}
	found := pgx.RowsFromResultReader(t.conn.TypeMap(),
		t.conn.PgConn().ExecPrepared(ctx, statement.Name, [][]byte{ids}, binary, binary))
	defer found.Close()
	holders := make(map[event.ID]holder, len(t.plan.groups))
	for found.Next() {
		var (
			id event.ID
			h  holder
		)
		if err := found.Scan((*[16]byte)(&id), &h.batch, &h.digest); err != nil {
			return nil, err
		}
		holders[id] = h
	}
	return holders, found.Err()
}

// copyEvents (step 3) numbers the survivors and copies them in.
func (t *transaction) copyEvents(ctx context.Context) error {
	if len(t.survivors) == 0 {
		return nil
	}
	t.plan.rows.number(t.survivors, t.batch)
	return t.copyRows(ctx, t.survivors)
}

// copyRows copies rows that are numbered.
func (t *transaction) copyRows(ctx context.Context, chosen []int32) error {
	tag, err := t.conn.PgConn().CopyFrom(ctx, t.plan.rows.reader(chosen), copyEventsSQL)
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

// isRefusal tells errors that the data cause (SQLSTATE classes 22 data exception, 23 integrity
// constraint violation, 54 program limit exceeded) from those that pass with time.
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
