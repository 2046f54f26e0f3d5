package store

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"

	"audittrail/modules/event"
)

// PartitionStart is a partition, and the offset where its accounting begins if it is new.
type PartitionStart struct {
	Partition
	Start int64
}

// Offset is where a partition goes on.
type Offset struct {
	Position

	// Recreated is not zero if the topic was made again. It is the id that was admitted; the new topic must not be
	// read until an operator admits it. NextOffset is then meaningless.
	Recreated event.TopicID
}

const (
	// Two processes that see a new topic must not admit two incarnations of it.
	lockTopicSQL  = `SELECT pg_advisory_xact_lock(hashtextextended('audittrail.ingest_topics.' || $1::text, 0))`
	firstTopicSQL = `INSERT INTO ingest_topics (topic, topic_id)
		SELECT $1, $2 WHERE NOT EXISTS (SELECT FROM ingest_topics WHERE topic = $1)`
	admittedSQL = `SELECT topic_id FROM ingest_topics WHERE topic = $1 ORDER BY admitted_at DESC LIMIT 1`

	// The condition avoids a wait: ON CONFLICT alone waits for a transaction that has locked the row, so a process
	// that stalled in its append would block the partition's next owner.
	firstOffsetSQL = `INSERT INTO ingest_offsets (topic_id, topic, partition, first_offset, next_offset)
		SELECT $1, $2, $3, $4, $4
		WHERE NOT EXISTS (SELECT FROM ingest_offsets WHERE topic_id = $1 AND partition = $3)
		ON CONFLICT (topic_id, partition) DO NOTHING`
	offsetSQL = `SELECT o.first_offset, o.next_offset, o.leader_epoch, coalesce(o.cut_end, -1), coalesce(a.number, 0)
		FROM ingest_offsets AS o LEFT JOIN (SELECT number FROM ingest_admissions
			WHERE topic_id = $3 AND partition = $2 ORDER BY number DESC LIMIT 1) AS a ON true
		WHERE o.topic_id = $1 AND o.partition = $2`
)

// EnsureOffsets returns where each partition goes on. A new partition gets its row at Start in a transaction of its
// own, before any record of it is read. So no record from between its creation and its discovery is lost.
func (a *Appender) EnsureOffsets(ctx context.Context, starts []PartitionStart) (map[Partition]Offset, error) {
	offsets := make(map[Partition]Offset, len(starts))
	byTopic := make(map[string][]PartitionStart)
	for _, s := range starts {
		byTopic[s.Topic] = append(byTopic[s.Topic], s)
	}
	for topic, starts := range byTopic {
		err := pgx.BeginTxFunc(ctx, a.pool, pgx.TxOptions{IsoLevel: pgx.ReadCommitted}, func(tx pgx.Tx) error {
			return ensureTopic(ctx, tx, topic, starts, offsets)
		})
		if err != nil {
			return nil, fmt.Errorf("offsets of topic %s: %w", topic, err)
		}
	}
	return offsets, nil
}

func ensureTopic(ctx context.Context, tx pgx.Tx, topic string, starts []PartitionStart, offsets map[Partition]Offset) error {
	if _, err := tx.Exec(ctx, lockTopicSQL, topic); err != nil {
		return err
	}
	if _, err := tx.Exec(ctx, firstTopicSQL, topic, [16]byte(starts[0].TopicID)); err != nil {
		return err
	}
	var admitted [16]byte
	if err := tx.QueryRow(ctx, admittedSQL, topic).Scan(&admitted); err != nil {
		return err
	}
	for _, s := range starts {
		if s.TopicID != event.TopicID(admitted) {
			offsets[s.Partition] = Offset{Position: Position{NextOffset: -1, LeaderEpoch: -1, CutEnd: -1}, Recreated: admitted}
			continue
		}
		log, err := currentLog(ctx, tx, s.Partition)
		if err != nil {
			return err
		}
		if _, err := tx.Exec(ctx, firstOffsetSQL, [16]byte(log), topic, s.Number, s.Start); err != nil {
			return err
		}
		o := Offset{Position: Position{Log: log}}
		err = tx.QueryRow(ctx, offsetSQL, [16]byte(log), s.Number, [16]byte(s.TopicID)).
			Scan(&o.FirstOffset, &o.NextOffset, &o.LeaderEpoch, &o.CutEnd, &o.Admission)
		if err != nil {
			return err
		}
		offsets[s.Partition] = o
	}
	return nil
}
