package main

import (
	"context"
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"time"

	"github.com/jackc/pgx/v5"
)

// kind is a question that the API is asked, about one event or another.
type kind struct {
	name string
	path func(e *sampled) string // "" where it can't be asked of the event
}

// kinds are all questions but the export, which is measured by itself.
func kinds() []kind {
	search := func(name string, pairs func(e *sampled) []string) kind {
		return kind{name, func(e *sampled) string {
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
	return []kind{
		{"event", func(e *sampled) string { return "/v1/events/" + e.id }},
		search("type", func(e *sampled) []string { return []string{"eventType", e.eventType} }),
		search("aggregate", func(e *sampled) []string {
			return []string{"aggregateType", e.aggregateType, "aggregateId", e.aggregateID}
		}),
		search("user", func(e *sampled) []string { return []string{"userId", e.user} }),
		search("correlation", func(e *sampled) []string { return []string{"correlationId", e.correlation} }),
		search("causation", func(e *sampled) []string { return []string{"causationId", e.causation} }),
		search("source", func(e *sampled) []string { return []string{"source", e.source} }),
		search("payload", func(e *sampled) []string { return []string{"payload", e.term} }),
		{"history", func(e *sampled) string { return e.aggregate("events") }},
		{"state", func(e *sampled) string { return e.aggregate("state") }},
		{"feed", func(e *sampled) string { return "/v1/feed?after=" + strconv.FormatInt(e.number, 10) }},
	}
}

// sampled is a stored event that requests are made about.
type sampled struct {
	number                                     int64 // its position
	id                                         string
	eventType, aggregateType, aggregateID      string
	user, correlation, causation, source, term string
}

func (e *sampled) aggregate(what string) string {
	return "/v1/aggregates/" + url.PathEscape(e.aggregateType) + "/" + url.PathEscape(e.aggregateID) + "/" + what
}

const sampleSQL = `
	SELECT n, e.event_id::text, event_type, aggregate_type, aggregate_id, coalesce(metadata ->> 'userId', ''),
	       coalesce(metadata ->> 'correlationId', ''), coalesce(metadata ->> 'causationId', ''), coalesce(metadata ->> 'source', ''),
	       coalesce('{"reference":"' || (payload ->> 'reference') || '"}', '')
	FROM unnest($1::bigint[]) AS n JOIN event_keys AS k ON k.event_id = md5(n::text)::uuid
	     JOIN events AS e ON e.timestamp = k.timestamp AND e.event_id = k.event_id
	ORDER BY n`

// sample answers events from all over the store, one of each stretch, at places that no period of the store has.
func (s *stored) sample(ctx context.Context, conn *pgx.Conn, count int) ([]*sampled, error) {
	var numbers []int64
	stretch := s.events / int64(count)
	for i := range int64(count) {
		numbers = append(numbers, i*stretch+i*7919%stretch)
	}
	rows, err := conn.Query(ctx, sampleSQL, numbers)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, func(row pgx.CollectableRow) (*sampled, error) {
		var e sampled
		return &e, row.Scan(&e.number, &e.id, &e.eventType, &e.aggregateType, &e.aggregateID, &e.user, &e.correlation, &e.causation, &e.source, &e.term)
	})
}

// requests are the different requests of a kind.
func (k kind) requests(events []*sampled) ([]string, error) {
	var paths []string
	for _, e := range events {
		if path := k.path(e); path != "" {
			paths = append(paths, path)
		}
	}
	slices.Sort(paths)
	if paths = slices.Compact(paths); len(paths) == 0 {
		return nil, fmt.Errorf("%s: none of the events has what is asked for", k.name)
	}
	return paths, nil
}

// window is the newest part of the store with so many events, to be exported.
func (s *stored) window(events int64) (from, to time.Time) {
	to = s.first.Add(time.Duration(s.events) * s.step)
	return to.Add(-time.Duration(events) * s.step), to
}
