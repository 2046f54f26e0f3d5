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
	path func(e *Sampled) string // "" where it can't be asked of the event
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
		{"event", func(e *Sampled) string { return "/v1/events/" + e.id }},
		search("type", func(e *Sampled) []string { return []string{"eventType", e.eventType} }),
		search("aggregate", func(e *Sampled) []string {
			return []string{"aggregateType", e.aggregateType, "aggregateId", e.aggregateID}
		}),
		search("user", func(e *Sampled) []string { return []string{"userId", e.user} }),
		search("correlation", func(e *Sampled) []string { return []string{"correlationId", e.correlation} }),
		search("causation", func(e *Sampled) []string { return []string{"causationId", e.causation} }),
		search("source", func(e *Sampled) []string { return []string{"source", e.source} }),
		search("payload", func(e *Sampled) []string { return []string{"payload", e.term} }),
		{"history", func(e *Sampled) string { return e.aggregate("events") }},
		{"state", func(e *Sampled) string { return e.aggregate("state") }},
		{"feed", func(e *Sampled) string { return "/v1/feed?after=" + strconv.FormatInt(e.number, 10) }},
	}
}

// Sampled is a stored event that requests are made about.
type Sampled struct {
	number                                     int64 // its position
	id                                         string
	eventType, aggregateType, aggregateID      string
	user, correlation, causation, source, term string
}

func (e *Sampled) aggregate(what string) string {
	return "/v1/aggregates/" + url.PathEscape(e.aggregateType) + "/" + url.PathEscape(e.aggregateID) + "/" + what
}

const sampleSQL = `
	SELECT n, e.event_id::text, event_type, aggregate_type, aggregate_id, coalesce(metadata ->> 'userId', ''),
	       coalesce(metadata ->> 'correlationId', ''), coalesce(metadata ->> 'causationId', ''), coalesce(metadata ->> 'source', ''),
	       coalesce('{"reference":"' || (payload ->> 'reference') || '"}', '')
	FROM unnest($1::bigint[]) AS n JOIN event_keys AS k ON k.event_id = md5(n::text)::uuid
	     JOIN events AS e ON e.timestamp = k.timestamp AND e.event_id = k.event_id
	ORDER BY n`

// Sample answers events from all over the store, one of each stretch, at places that no period of the store has.
func (s *Store) Sample(ctx context.Context, conn *pgx.Conn, count int) ([]*Sampled, error) {
	var numbers []int64
	stretch := s.Events / int64(count)
	for i := range int64(count) {
		numbers = append(numbers, i*stretch+i*7919%stretch)
	}
	rows, err := conn.Query(ctx, sampleSQL, numbers)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, func(row pgx.CollectableRow) (*Sampled, error) {
		var e Sampled
		return &e, row.Scan(&e.number, &e.id, &e.eventType, &e.aggregateType, &e.aggregateID, &e.user, &e.correlation, &e.causation, &e.source, &e.term)
	})
}

// Requests are the different requests of a Kind.
func (k Kind) Requests(events []*Sampled) ([]string, error) {
	var paths []string
	for _, e := range events {
		if path := k.path(e); path != "" {
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
