package store

import (
	"context"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"audittrail/modules/event"
)

// TracePage is the oldest events with a correlation id.
type TracePage struct {
	Events    []event.Stored // by (timestamp, id)
	Truncated bool           // there are more
}

// Correlated returns the events with this correlation id, oldest first: at most limit, and roughly so many bytes of
// JSON. It uses the index events_correlation.
func (r *Reader) Correlated(ctx context.Context, correlationID string, limit, bytes int) (TracePage, error) {
	var (
		found TracePage
		page  *collector
	)
	err := r.read(ctx, "read trace", func(ctx context.Context, conn *pgx.Conn) error {
		where := Filter{CorrelationID: correlationID}.where()
		spans, err := r.timeline(ctx, conn, time.Time{}, time.Time{})
		if err != nil {
			return err
		}
		page = &collector{limit: limit, bytes: bytes}
		s := &scan{conn: conn, where: where, order: Ascending, page: page, left: spans, budget: readTimeout}
		next, err := s.run(ctx)
		if err != nil {
			return err
		}
		found.Truncated = next != nil
		return nil
	})
	if err != nil {
		return found, err
	}
	found.Events, err = r.shown(ctx, page.rows)
	return found, err
}

// It uses the primary key of event_keys.
const knownSQL = `SELECT event_id, batch, timestamp FROM event_keys WHERE event_id = ANY ($1::uuid[])`

// keyed is the place of an event.
type keyed struct {
	id    event.ID
	batch int64
	at    time.Time
}

// Known returns those of the ids that belong to stored, visible events. For a reader who sees everything it includes
// archived events.
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

// visibleAmong adds the events that are in scope.
func visibleAmong(ctx context.Context, conn *pgx.Conn, keys []keyed, visible map[event.ID]bool) error {
	s := &selection{where: &conditions{}, limit: len(keys)}
	var texts []string
	for _, k := range keys {
		if b := branchOf(k.batch, k.at); !slices.Contains(s.branches, b) { // or its events would come twice, and use up the limit
			s.branches = append(s.branches, b)
		}
		texts = append(texts, k.id.String())
	}
	s.where.add("event_id = ANY (%s::uuid[])", texts)
	ids, err := s.ids(ctx, conn)
	for _, id := range ids {
		visible[id] = true
	}
	return err
}
