package store

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"audittrail/modules/event"
)

// AdmittedTopic is a topic and the incarnation of it that ingest reads.
type AdmittedTopic struct {
	Topic string
	ID    event.TopicID
	At    time.Time // UTC
	By    string    // the database login that first saw it, or the operator who admitted it
}

// Topics lists the topics that ingest has ever read, each with the id that was admitted last.
func Topics(ctx context.Context, pool *pgxpool.Pool) ([]AdmittedTopic, error) {
	rows, _ := pool.Query(ctx, `SELECT DISTINCT ON (topic) topic, topic_id, admitted_at, admitted_by
		FROM ingest_topics ORDER BY topic, admitted_at DESC`)
	topics, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (AdmittedTopic, error) {
		var (
			t  AdmittedTopic
			id [16]byte
		)
		err := row.Scan(&t.Topic, &id, &t.At, &t.By)
		t.ID, t.At = id, t.At.UTC()
		return t, err
	})
	if err != nil {
		return nil, fmt.Errorf("read topics: %w", err)
	}
	return topics, nil
}

// AdmitTopic lets ingest read a topic that was made again under a new id, from the start of its log. by is the
// operator's name, for the record.
func (a *Appender) AdmitTopic(ctx context.Context, topic string, id event.TopicID, by string) error {
	_, err := a.pool.Exec(ctx, `INSERT INTO ingest_topics (topic, topic_id, admitted_by) VALUES ($1, $2, $3)
		ON CONFLICT (topic, topic_id) DO NOTHING`, topic, [16]byte(id), by)
	if err != nil {
		return fmt.Errorf("admit topic %s: %w", topic, err)
	}
	return nil
}
