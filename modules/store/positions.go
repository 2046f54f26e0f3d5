package store

import (
	"context"
	"fmt"
	"iter"
	"maps"

	"github.com/jackc/pgx/v5"

	"audittrail/modules/event"
)

// Position is where a partition goes on, by the event store.
type Position struct {
	// Log is the id under which the partition is accounted for: the topic's id in Kafka, or an id of the partition's
	// own after an operator went back in it (see Admission).
	Log         event.TopicID
	FirstOffset int64
	NextOffset  int64
	LeaderEpoch int32 // of the last record read; -1 if unknown

	// CutEnd is where Kafka's log was seen to end, before NextOffset, if no operator has admitted that yet; else -1.
	CutEnd int64

	Admission int64 // number of the partition's latest admission; 0 if there is none
}

// Positions are the positions of all partitions, of each topic in the incarnation that was admitted last.
type Positions struct {
	Admitted map[string]event.TopicID
	of       map[Partition]Position
}

// Of returns the position of a partition; partition.TopicID is the topic's id in Kafka. ok is false if the event
// store does not know the partition.
func (p Positions) Of(partition Partition) (position Position, ok bool) {
	position, ok = p.of[partition]
	return position, ok
}

// All are the partitions that Of knows, in no order.
func (p Positions) All() iter.Seq2[Partition, Position] { return maps.All(p.of) }

// NewPositions returns Positions of partitions under the topics' ids in Kafka.
func NewPositions(admitted map[string]event.TopicID, of map[Partition]Position) Positions {
	return Positions{Admitted: admitted, of: of}
}

const (
	readTopicsSQL = `SELECT DISTINCT ON (topic) topic, topic_id FROM ingest_topics ORDER BY topic, admitted_at DESC`
	allOffsetsSQL = `SELECT topic_id, topic, partition, first_offset, next_offset, leader_epoch, coalesce(cut_end, -1) FROM ingest_offsets`
	// It uses the index ingest_admissions_partition.
	admissionsSQL = `SELECT DISTINCT ON (topic_id, partition) topic_id, topic, partition, to_log, number
		FROM ingest_admissions ORDER BY topic_id, partition, number DESC`
)

// querier is a pool, a connection or a transaction.
type querier interface {
	Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error)
}

// Positions reads the positions of all partitions.
func (a *Appender) Positions(ctx context.Context) (Positions, error) {
	return ReadPositions(ctx, a.pool)
}

// ReadPositions reads the positions of all partitions.
func ReadPositions(ctx context.Context, db querier) (Positions, error) {
	p := Positions{Admitted: map[string]event.TopicID{}, of: map[Partition]Position{}}
	var (
		topic string
		id    [16]byte
	)
	found, _ := db.Query(ctx, readTopicsSQL)
	_, err := pgx.ForEachRow(found, []any{&topic, &id}, func() error { p.Admitted[topic] = id; return nil })
	if err == nil {
		err = p.read(ctx, db)
	}
	if err != nil {
		return Positions{}, fmt.Errorf("read positions: %w", err)
	}
	return p, nil
}

// read adds the partitions of the admitted topics.
func (p Positions) read(ctx context.Context, db querier) error {
	var (
		id, log [16]byte
		at      Partition
		stands  Position
		number  int64
		rows    = map[Partition]Position{} // by their ids in ingest_offsets
	)
	found, _ := db.Query(ctx, allOffsetsSQL)
	_, err := pgx.ForEachRow(found, []any{&id, &at.Topic, &at.Number, &stands.FirstOffset, &stands.NextOffset, &stands.LeaderEpoch, &stands.CutEnd}, func() error {
		at.TopicID, stands.Log = id, id
		rows[at] = stands
		if p.Admitted[at.Topic] == at.TopicID {
			p.of[at] = stands
		}
		return nil
	})
	if err != nil {
		return err
	}
	found, _ = db.Query(ctx, admissionsSQL)
	_, err = pgx.ForEachRow(found, []any{&id, &at.Topic, &at.Number, &log, &number}, func() error {
		at.TopicID = id
		if p.Admitted[at.Topic] != at.TopicID {
			return nil
		}
		position, ok := rows[Partition{TopicID: log, Topic: at.Topic, Number: at.Number}]
		if !ok { // somebody deleted it
			delete(p.of, at)
			return nil
		}
		position.Admission = number
		p.of[at] = position
		return nil
	})
	return err
}
