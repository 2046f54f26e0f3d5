package store

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"audittrail/modules/event"
)

// settle finds out why partitions were fenced off: this batch was stored by an earlier try whose
// answer was lost, or the partition is somebody else's now.
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
			if !ours { // others came to the same offset by batches of theirs
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

// outcome reads what an earlier try made of a range; ok is false where the range is not there, with
// these ends. By ingest_ranges' primary key.
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

// otherIncarnation answers the id under which a topic of this name was admitted last; zero where none
// was or where it is the partition's own.
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

const (
	// watchAfter is how long a transaction may wait before those that block it are looked at.
	watchAfter = 3 * time.Second
	// A stalled process (SIGSTOP in mid-COPY) keeps its locks, and no timeout of the server's ends a
	// COPY whose client is silent. Only ingest's own transactions are ended, and only old ones.
	endBlockersSQL = `SELECT pg_terminate_backend(pid) FROM pg_stat_activity
		WHERE pid = ANY (pg_blocking_pids($1)) AND application_name = $2
		AND xact_start < clock_timestamp() - interval '10 s'`
)

// watch ends the stalled transactions that block the backend pid, for as long as its own one runs. The
// returned function ends the watch.
func (a *Appender) watch(ctx context.Context, pid uint32) (stop func()) {
	if a.breaker == nil {
		return func() {}
	}
	ctx, cancel := context.WithCancel(ctx)
	done := make(chan struct{})
	go func() {
		defer close(done)
		tick := time.NewTimer(watchAfter)
		defer tick.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
			}
			tag, err := a.breaker.Exec(ctx, endBlockersSQL, int64(pid), IngestApplication)
			switch {
			case err != nil && ctx.Err() == nil:
				a.log.WarnContext(ctx, "could not look for stalled transactions", "error", err)
			case tag.RowsAffected() > 0:
				a.log.WarnContext(ctx, "ended stalled transactions of another ingest process", "count", tag.RowsAffected())
			}
			tick.Reset(time.Second)
		}
	}()
	return func() { cancel(); <-done }
}
