package store

import (
	"context"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"audittrail/modules/event"
)

// TracePage is the oldest part of the events that carry one correlation id.
type TracePage struct {
	Events    []event.Stored // by (timestamp, id)
	Truncated bool           // there are more
}

// Correlated answers the events with this correlation id, the oldest first: up to limit, and about so many
// bytes of JSON. By events_correlation.
func (r *Reader) Correlated(ctx context.Context, correlationID string, limit, bytes int) (TracePage, error) {
	var found TracePage
	err := r.read(ctx, "read trace", func(ctx context.Context, conn *pgx.Conn) error {
		where := Filter{CorrelationID: correlationID}.where()
		spans, err := r.timeline(ctx, conn, time.Time{}, time.Time{})
		if err != nil {
			return err
		}
		s := &scan{conn: conn, where: where, order: Ascending, page: &collector{limit: limit, bytes: bytes}, left: spans, budget: readTimeout}
		next, err := s.run(ctx)
		if err != nil {
			return err
		}
		for i := range s.page.rows {
			found.Events = append(found.Events, s.page.rows[i].stored)
		}
		found.Truncated = next != nil
		return nil
	})
	return found, err
}

// By event_keys' primary key.
const knownSQL = `SELECT event_id, batch, timestamp FROM event_keys WHERE event_id = ANY ($1::uuid[])`

// keyed is where an event lies.
type keyed struct {
	id    event.ID
	batch int64
	at    time.Time
}

// Known answers which of these ids are of events that were stored and are visible. For who sees everything,
// archived ones are among them.
func (r *Reader) Known(ctx context.Context, ids []event.ID) (map[event.ID]bool, error) {
	known := map[event.ID]bool{}
	if len(ids) == 0 {
		return known, nil
	}
	err := r.read(ctx, "look for events", func(ctx context.Context, conn *pgx.Conn) error {
		texts := make([]string, len(ids))
		for i, id := range ids {
			texts[i] = id.String()
		}
		rows, err := conn.Query(ctx, knownSQL, texts)
		if err != nil {
			return err
		}
		keys, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (k keyed, err error) {
			err = row.Scan((*[16]byte)(&k.id), &k.batch, &k.at)
			return k, err
		})
		if err != nil {
			return err
		}
		if Unscoped(ctx) {
			for _, k := range keys {
				known[k.id] = true
			}
			return nil
		}
		for part := range slices.Chunk(keys, feedBranches) {
			if err := visibleAmong(ctx, conn, part, known); err != nil {
				return err
			}
		}
		return nil
	})
	return known, err
}

// visibleAmong adds those of the events that the scope shows.
func visibleAmong(ctx context.Context, conn *pgx.Conn, keys []keyed, visible map[event.ID]bool) error {
	s := &selection{where: &conditions{}, limit: len(keys)}
	var texts []string
	for _, k := range keys {
		s.branches = append(s.branches, branchOf(k.batch, k.at))
		texts = append(texts, k.id.String())
	}
	s.where.add("event_id = ANY (%s::uuid[])", texts)
	ids, err := s.ids(ctx, conn)
	for _, id := range ids {
		visible[id] = true
	}
	return err
}
