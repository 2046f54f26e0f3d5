package benchapi

import (
	"context"
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"time"

	"github.com/jackc/pgx/v5"
)

// Kind is a question that the API is asked, about one event or another.
type Kind struct {
	Name string
	Path func(e *Sampled) string // "" where it can't be asked of the event
}

// Kinds are all questions but the export, which is measured by itself.
func Kinds() []Kind {
	search := func(name string, pairs func(e *Sampled) []string) Kind {
		return Kind{name, func(e *Sampled) string {
			list, values := pairs(e), url.Values{}
			for i := 0; i < len(list); i += 2 {
				if list[i+1] == "" {
					return ""
				}
				values.Set(list[i], list[i+1])
			}
			return "/v1/events?" + values.Encode()
		}}
	}
	return []Kind{
		{"event", func(e *Sampled) string { return "/v1/events/" + e.ID }},
		search("type", func(e *Sampled) []string { return []string{"eventType", e.EventType} }),
		search("aggregate", func(e *Sampled) []string {
			return []string{"aggregateType", e.AggregateType, "aggregateId", e.AggregateID}
		}),
		search("user", func(e *Sampled) []string { return []string{"userId", e.User} }),
		search("correlation", func(e *Sampled) []string { return []string{"correlationId", e.Correlation} }),
		search("causation", func(e *Sampled) []string { return []string{"causationId", e.Causation} }),
		search("source", func(e *Sampled) []string { return []string{"source", e.Source} }),
		search("payload", func(e *Sampled) []string { return []string{"payload", e.Term} }),
		{"history", func(e *Sampled) string { return e.Aggregate("events") }},
		{"state", func(e *Sampled) string { return e.Aggregate("state") }},
		{"feed", func(e *Sampled) string { return "/v1/feed?after=" + strconv.FormatInt(e.Position, 10) }},
	}
}

// Sampled is a stored event that requests are made about.
type Sampled struct {
	Position                                   int64
	At                                         time.Time
	ID                                         string
	EventType, AggregateType, AggregateID      string
	User, Correlation, Causation, Source, Term string // "" where the event has none
}

// Aggregate is the path of something about the event's aggregate.
func (e *Sampled) Aggregate(what string) string {
	return "/v1/aggregates/" + url.PathEscape(e.AggregateType) + "/" + url.PathEscape(e.AggregateID) + "/" + what
}

// A term is one that about ten events share: what somebody looks for who has an order's number.
const sampleSQL = `
	SELECT n, timestamp, event_id::text, event_type, aggregate_type, aggregate_id, coalesce(metadata ->> 'userId', ''),
	       coalesce(metadata ->> 'correlationId', ''), coalesce(metadata ->> 'causationId', ''), coalesce(metadata ->> 'source', ''),
	       CASE WHEN payload ? 'reference' THEN jsonb_build_object('reference', payload -> 'reference')::text
	            WHEN payload ? 'orderId' THEN jsonb_build_object('orderId', payload -> 'orderId')::text ELSE '' END
	FROM unnest($1::bigint[]) AS n
	     CROSS JOIN LATERAL (SELECT * FROM ledger_batches WHERE log = 'events' AND first_position <= n ORDER BY first_position DESC LIMIT 1) AS b
	     CROSS JOIN LATERAL (SELECT * FROM events WHERE id = b.batch << 14 | n - b.first_position AND timestamp BETWEEN b.earliest AND b.latest LIMIT 1) AS e
	ORDER BY n`

// Sample answers some of so many events, one of each stretch of the log, at places that no period of the store has.
func Sample(ctx context.Context, conn *pgx.Conn, events int64, count int) ([]*Sampled, error) {
	var numbers []int64
	stretch := events / int64(count)
	for i := range int64(count) {
		numbers = append(numbers, i*stretch+i*7919%stretch)
	}
	rows, err := conn.Query(ctx, sampleSQL, numbers)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, func(row pgx.CollectableRow) (*Sampled, error) {
		var e Sampled
		return &e, row.Scan(&e.Position, &e.At, &e.ID, &e.EventType, &e.AggregateType, &e.AggregateID, &e.User, &e.Correlation, &e.Causation, &e.Source, &e.Term)
	})
}

// Requests are the different requests of a Kind.
func (k Kind) Requests(events []*Sampled) ([]string, error) {
	var paths []string
	for _, e := range events {
		if path := k.Path(e); path != "" {
			paths = append(paths, path)
		}
	}
	slices.Sort(paths)
	if paths = slices.Compact(paths); len(paths) == 0 {
		return nil, fmt.Errorf("%s: none of the events has what is asked for", k.Name)
	}
	return paths, nil
}

// Window is the newest part of the store with so many events, to be exported.
func (s *Store) Window(events int64) (from, to time.Time) {
	to = s.first.Add(time.Duration(s.Events) * s.step)
	return to.Add(-time.Duration(events) * s.step), to
}
