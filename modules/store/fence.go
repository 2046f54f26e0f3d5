package store

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"

	"audittrail/modules/event"
)

const (
	// The condition on the old value is the fence. 0 rows means that another process has moved the partition on, or
	// that an earlier try of this batch has.
	fenceSQL = `UPDATE ingest_offsets SET next_offset = $1, leader_epoch = $2, updated_at = $3
		WHERE topic_id = $4 AND partition = $5 AND next_offset = $6`
)

// fence (step 1) moves each partition on from the end of the last batch. It reads the row counts before the next
// step sends anything.
func (t *transaction) fence(ctx context.Context) error {
	var batch pgx.Batch
	batch.Queue(beginSQL)
	batch.Queue(checkAtOnceSQL)
	batch.Queue(writerSQL)
	for _, r := range t.plan.ranges {
		batch.Queue(fenceSQL, r.To, r.LeaderEpoch, t.plan.recordedAt, [16]byte(r.TopicID), r.Number, r.From)
	}
	batch.Queue(nextBatchSQL)
	results := t.conn.SendBatch(ctx, &batch)
	defer results.Close() //nolint:errcheck // closed and checked below; this one is for early returns
	for range 3 {
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

// settle finds out why partitions were fenced off: an earlier try stored this batch and its answer was lost, or
// another process owns the partition now.
func (a *Appender) settle(ctx context.Context, fenced []Range, receipt *Receipt) error {
	for _, r := range fenced {
		var next int64
		err := a.pool.QueryRow(ctx, `SELECT next_offset FROM ingest_offsets WHERE topic_id = $1 AND partition = $2`,
			[16]byte(r.TopicID), r.Number).Scan(&next)
		switch {
		case errors.Is(err, pgx.ErrNoRows):
			other, err := a.otherIncarnation(ctx, r.Partition)
			if err != nil {
				return err
			}
			receipt.Lost = append(receipt.Lost, Lost{Partition: r.Partition, NextOffset: -1, Recreated: other})
		case err != nil:
			return fmt.Errorf("read offset of %s/%d: %w", r.Topic, r.Number, err)
		case next == r.To:
			o, ours, err := a.outcome(ctx, r)
			if err != nil {
				return err
			}
			if !ours { // another process reached the same offset with other batches
				receipt.Lost = append(receipt.Lost, Lost{Partition: r.Partition, NextOffset: next})
				continue
			}
			receipt.Already = append(receipt.Already, r.Partition)
			receipt.Outcomes = append(receipt.Outcomes, o)
		default:
			receipt.Lost = append(receipt.Lost, Lost{Partition: r.Partition, NextOffset: next})
		}
	}
	return nil
}

// outcome reads the counts that an earlier try stored for a range; ok is false if there is no range with these ends.
// It uses the primary key of ingest_ranges.
func (a *Appender) outcome(ctx context.Context, r Range) (o Outcome, ok bool, err error) {
	o.Partition = r.Partition
	err = a.pool.QueryRow(ctx, `SELECT stored, duplicates, dead_lettered, absent FROM ingest_ranges
		WHERE topic_id = $1 AND partition = $2 AND from_offset = $3 AND to_offset = $4`,
		[16]byte(r.TopicID), r.Number, r.From, r.To).Scan(&o.Stored, &o.Duplicates, &o.DeadLettered, &o.Absent)
	if errors.Is(err, pgx.ErrNoRows) {
		return o, false, nil
	}
	if err != nil {
		return o, false, fmt.Errorf("read range of %s/%d from %d: %w", r.Topic, r.Number, r.From, err)
	}
	return o, true, nil
}

// otherIncarnation returns the id under which a topic of this name was admitted last, or zero if there is none or it
// is the partition's own.
func (a *Appender) otherIncarnation(ctx context.Context, p Partition) (event.TopicID, error) {
	var id [16]byte
	err := a.pool.QueryRow(ctx, `SELECT topic_id FROM ingest_topics WHERE topic = $1
		ORDER BY admitted_at DESC LIMIT 1`, p.Topic).Scan(&id)
	if err != nil && !errors.Is(err, pgx.ErrNoRows) {
		return event.TopicID{}, fmt.Errorf("read topic %s: %w", p.Topic, err)
	}
	if event.TopicID(id) == p.TopicID {
		return event.TopicID{}, nil
	}
	return id, nil
}
