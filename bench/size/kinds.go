package main

import (
	"fmt"
	"net/url"
	"time"

	"audittrail/bench/internal/benchapi"
	"audittrail/modules/event"
	"audittrail/modules/store"
)

// windowEvents is about how many events a window of time has that something is counted of: 27 days of the store of 100
// thousand, and six hours of that of ten million.
const windowEvents = 2500

const (
	steps   = "/v1/stats/steps?from=OrderPlaced&to=OrderConfirmed"
	funnel  = "/v1/stats/funnel?step=OrderPlaced&step=OrderConfirmed&step=OrderCompleted"
	process = "/v1/processes/Order?variants=20"
)

// kinds are all questions that read: those of bench/query, and those whose answers come from rollups, from the ledger, or
// from many events.
func (s *kept) kinds() []benchapi.Kind {
	window := min(years*365*24*time.Hour/time.Duration(s.events)*windowEvents, store.ScanSpan)
	within := func(e *benchapi.Sampled, from, to string, span time.Duration) string {
		return "&" + from + "=" + url.QueryEscape(event.FormatTime(e.At)) + "&" + to + "=" + url.QueryEscape(event.FormatTime(e.At.Add(span)))
	}
	always := func(name, path string) benchapi.Kind {
		return benchapi.Kind{Name: name, Path: func(*benchapi.Sampled) string { return path }}
	}
	about := func(name string, path func(e *benchapi.Sampled) string) benchapi.Kind {
		return benchapi.Kind{Name: name, Path: path}
	}
	return append(benchapi.Kinds(),
		always("newest", "/v1/events"),
		about("time", func(e *benchapi.Sampled) string { return "/v1/events?" + within(e, "from", "to", window)[1:] }),
		about("proof", func(e *benchapi.Sampled) string { return "/v1/events/" + e.ID + "/proof" }),
		about("diff", func(e *benchapi.Sampled) string {
			return e.Aggregate("diff") + "?from=2000-01-01T00:00:00Z&to=" + url.QueryEscape(event.FormatTime(e.At))
		}),
		about("trace", func(e *benchapi.Sampled) string { return "/v1/traces/" + url.PathEscape(e.Correlation) }),
		about("export", func(e *benchapi.Sampled) string {
			return "/v1/events/export?format=ndjson" + within(e, "from", "to", window)
		}),
		always("stats by month", "/v1/stats/events?interval=month"),
		always("stats by day and type", "/v1/stats/events?interval=day&groupBy=eventType&top=10"),
		always("stats of Berlin's days", "/v1/stats/events?interval=day&tz=Europe/Berlin"),
		always("stats by month and source", "/v1/stats/events?interval=month&groupBy=source"),
		about("stats of a user", func(e *benchapi.Sampled) string {
			if e.User == "" {
				return ""
			}
			return "/v1/stats/events?interval=month&userId=" + url.QueryEscape(e.User)
		}),
		about("stats by hour", func(e *benchapi.Sampled) string {
			return "/v1/stats/events?interval=hour&groupBy=eventType&from=" + url.QueryEscape(event.FormatTime(e.At)) + "&to=" + url.QueryEscape(event.FormatTime(e.At.AddDate(0, 0, 7)))
		}),
		about("stats one by one", func(e *benchapi.Sampled) string {
			return "/v1/stats/events?interval=day&groupBy=userId&groupBy=source" + within(e, "from", "to", window)
		}),
		about("steps", func(e *benchapi.Sampled) string { return steps + within(e, "since", "until", window) }),
		about("steps of a month", func(e *benchapi.Sampled) string { return steps + within(e, "since", "until", store.ScanSpan) }),
		about("funnel", func(e *benchapi.Sampled) string { return funnel + within(e, "since", "until", window) }),
		about("funnel of a month", func(e *benchapi.Sampled) string { return funnel + within(e, "since", "until", store.ScanSpan) }),
		about("process", func(e *benchapi.Sampled) string { return process + within(e, "from", "to", window) }),
		about("process of a month", func(e *benchapi.Sampled) string { return process + within(e, "from", "to", store.ScanSpan) }),
		always("checkpoint", "/v1/ledger/events/checkpoint"),
		about("consistency", func(e *benchapi.Sampled) string {
			return fmt.Sprintf("/v1/ledger/events/consistency?from=%d&to=%d", e.Position+1, s.events)
		}),
		always("offsets", "/v1/ingest/offsets"),
		always("access log", "/v1/access-log"),
		always("dead letters", "/v1/dead-letters"),
		always("replays", "/v1/replays"),
		always("anomalies", "/v1/anomalies"),
	)
}
