package store

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"audittrail/modules/event"
)

// Admission is an operator's decision that a partition goes on at To instead of its next offset.
type Admission struct {
	Partition        // TopicID is the topic's id in Kafka
	To        int64  // the offset to go on at
	Reason    string // why, for the record
	By        string // who
}

// Admitted is what an Admission did.
type Admitted struct {
	From int64         // the offset that was next
	Log  event.TopicID // the id under which the partition is accounted for from now on
}

// AdmissionRecord is a past Admission.
type AdmissionRecord struct {
	Topic     string    `json:"topic"`
	Partition int32     `json:"partition"`
	From      int64     `json:"from"` // the offset that was next
	To        int64     `json:"to"`
	At        time.Time `json:"admittedAt"` // UTC
	By        string    `json:"admittedBy"`
	Reason    string    `json:"reason"`
}

// Admissions returns all past admissions, the newest first.
func Admissions(ctx context.Context, pool *pgxpool.Pool) ([]AdmissionRecord, error) {
	rows, _ := pool.Query(ctx, `SELECT topic, partition, from_offset, to_offset, admitted_at, admitted_by, reason
		FROM ingest_admissions ORDER BY number DESC`)
	list, err := pgx.CollectRows(rows, pgx.RowToStructByPos[AdmissionRecord])
	if err != nil {
		return nil, fmt.Errorf("read admissions: %w", err)
	}
	for i := range list {
		list[i].At = list[i].At.UTC()
	}
	return list, nil
}

// NotAdmittedError says why the event store refuses an Admission.
type NotAdmittedError struct{ why string }

func (e *NotAdmittedError) Error() string { return e.why }

const (
	currentLogSQL = `SELECT to_log FROM ingest_admissions WHERE topic_id = $1 AND partition = $2 ORDER BY number DESC LIMIT 1`
	lockOffsetSQL = `SELECT next_offset, cut_end IS NOT NULL FROM ingest_offsets WHERE topic_id = $1 AND partition = $2 FOR UPDATE`

	admitSQL = `INSERT INTO ingest_admissions (topic, topic_id, partition, from_log, to_log, from_offset, to_offset, admitted_by, reason)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)`
	skipOffsetSQL = `UPDATE ingest_offsets SET next_offset = $3, leader_epoch = -1, updated_at = now(), cut_end = NULL, cut_at = NULL
		WHERE topic_id = $1 AND partition = $2`
	absentSQL = `INSERT INTO ingest_ranges (topic_id, partition, from_offset, to_offset, stored, duplicates, dead_lettered, absent, recorded_at)
		VALUES ($1, $2, $3::bigint, $4::bigint, 0, 0, 0, $4::bigint - $3::bigint, now())`
	newLogSQL  = `INSERT INTO ingest_offsets (topic_id, topic, partition, first_offset, next_offset) VALUES ($1, $2, $3, $4, $4)`
	drawLogSQL = `SELECT gen_random_uuid()`

	// The condition keeps the end that was seen first.
	cutSQL = `UPDATE ingest_offsets SET cut_end = $3, cut_at = now() WHERE topic_id = $1 AND partition = $2 AND cut_end IS NULL`
)

// Admit lets a partition go on at another offset than its next one, and records who decided that and why.
//
// If To is above the next offset, the offsets in between are accounted for as absent. If To is below it, the offsets
// from To on mean other records than before: the partition goes on under a new id, and everything accounted for
// under the old id stays. If To is the next offset, Admit only acknowledges that Kafka's log was cut, and fails if
// it was not.
func (a *Appender) Admit(ctx context.Context, d Admission) (Admitted, error) {
	var done Admitted
	err := pgx.BeginTxFunc(ctx, a.pool, pgx.TxOptions{IsoLevel: pgx.ReadCommitted}, func(tx pgx.Tx) (err error) {
		done, err = admit(ctx, tx, d)
		return err
	})
	if err != nil {
		return Admitted{}, fmt.Errorf("admit %s/%d from offset %d: %w", d.Topic, d.Number, d.To, err)
	}
	return done, nil
}

func admit(ctx context.Context, tx pgx.Tx, d Admission) (Admitted, error) {
	log, err := admissible(ctx, tx, d.Partition)
	if err != nil {
		return Admitted{}, err
	}
	done := Admitted{Log: log}
	var cut bool
	err = tx.QueryRow(ctx, lockOffsetSQL, [16]byte(log), d.Number).Scan(&done.From, &cut)
	switch {
	case errors.Is(err, pgx.ErrNoRows):
		return Admitted{}, &NotAdmittedError{"the event store does not know the partition; ingest reads it from its start"}
	case err != nil:
		return Admitted{}, err
	case d.To == done.From && !cut:
		return Admitted{}, &NotAdmittedError{"that offset is the next one already"}
	case d.To < done.From:
		if err := tx.QueryRow(ctx, drawLogSQL).Scan((*[16]byte)(&done.Log)); err != nil {
			return Admitted{}, err
		}
	}
	return done, goOn(ctx, tx, d, log, done)
}

// admissible returns the id under which a partition is accounted for now. It fails unless the topic is the one that
// was admitted. Until the transaction ends, no other process can admit anything of the topic.
func admissible(ctx context.Context, tx pgx.Tx, p Partition) (event.TopicID, error) {
	if _, err := tx.Exec(ctx, lockTopicSQL, p.Topic); err != nil {
		return event.TopicID{}, err
	}
	var admitted [16]byte
	err := tx.QueryRow(ctx, admittedSQL, p.Topic).Scan(&admitted)
	switch {
	case errors.Is(err, pgx.ErrNoRows):
		return event.TopicID{}, &NotAdmittedError{"the event store does not know the topic; ingest reads it from its start"}
	case err != nil:
		return event.TopicID{}, err
	case event.TopicID(admitted) != p.TopicID:
		return event.TopicID{}, &NotAdmittedError{"the topic was deleted and made again; admit the topic first, without --partition"}
	}
	return currentLog(ctx, tx, p)
}

// goOn stores an admission and its consequences.
func goOn(ctx context.Context, tx pgx.Tx, d Admission, log event.TopicID, done Admitted) error {
	var batch pgx.Batch
	batch.Queue(admitSQL, d.Topic, [16]byte(d.TopicID), d.Number, [16]byte(log), [16]byte(done.Log), done.From, d.To, d.By, d.Reason)
	switch {
	case d.To < done.From:
		batch.Queue(newLogSQL, [16]byte(done.Log), d.Topic, d.Number, d.To)
	case d.To > done.From:
		batch.Queue(absentSQL, [16]byte(log), d.Number, done.From, d.To)
		fallthrough
	default:
		batch.Queue(skipOffsetSQL, [16]byte(log), d.Number, d.To)
	}
	return tx.SendBatch(ctx, &batch).Close()
}

// currentLog returns the id under which a partition is accounted for now; p.TopicID is the topic's id in Kafka.
func currentLog(ctx context.Context, tx pgx.Tx, p Partition) (event.TopicID, error) {
	var log [16]byte
	err := tx.QueryRow(ctx, currentLogSQL, [16]byte(p.TopicID), p.Number).Scan(&log)
	if errors.Is(err, pgx.ErrNoRows) {
		return p.TopicID, nil
	}
	return log, err
}

// RememberCut stores that Kafka's log of a partition ended at end, before the partition's next offset. Admit clears
// that. p.TopicID is the id under which the partition is accounted for.
func (a *Appender) RememberCut(ctx context.Context, p Partition, end int64) error {
	if _, err := a.pool.Exec(ctx, cutSQL, [16]byte(p.TopicID), p.Number, end); err != nil {
		return fmt.Errorf("remember that the log of %s/%d was cut: %w", p.Topic, p.Number, err)
	}
	return nil
}
