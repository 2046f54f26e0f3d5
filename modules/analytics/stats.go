package analytics

import (
	"bytes"
	"context"
	"encoding/csv"
	"slices"
	"strconv"
	"strings"
	"time"
	_ "time/tzdata" // the zones that tz names, also where the machine has none

	"github.com/go-json-experiment/json"

	"audittrail/modules/analytics/sketch"
	"audittrail/modules/event"
	"audittrail/modules/httpapi"
	"audittrail/modules/store"
	"audittrail/platform/httpserver"
)

// defaultTop is how many groups are told apart where the caller does not say.
const defaultTop = 20

// GetEventStats answers counts over time.
func (h *API) GetEventStats(ctx context.Context, r httpapi.GetEventStatsRequestObject) (httpapi.GetEventStatsResponseObject, error) {
	s, err := statsOf(r.Params)
	if err != nil {
		return nil, err
	}
	found, err := h.reader.Stats(ctx, s)
	if err != nil {
		return nil, err
	}
	answer := httpapi.EventStats{Interval: s.Interval, Items: make([]httpapi.EventStat, len(found.Items)), Position: found.Position, Head: found.Head, Scanned: found.Scanned}
	for i, item := range found.Items {
		answer.Items[i] = statOf(s, item)
	}
	kind := httpapi.Preferred(httpserver.ExchangeOf(ctx).Request, httpapi.JSONType, httpapi.CSVType)
	if kind == httpapi.CSVType {
		body, err := statsCSV(s, answer)
		return httpapi.AnalyticsAnswer{Type: kind, Body: body}, err
	}
	body, err := json.Marshal(answer, json.Deterministic(true))
	return httpapi.AnalyticsAnswer{Type: kind, Body: body}, err
}

// statsOf reads the parameters.
func statsOf(p httpapi.GetEventStatsParams) (s store.Stats, err error) {
	s = store.Stats{
		Interval: string(p.Interval), Zone: time.UTC, Top: int(valueOf(p.Top, defaultTop)),
		EventTypes: valueOf(p.EventType, nil), AggregateType: valueOf(p.AggregateType, ""), Source: valueOf(p.Source, ""), UserID: valueOf(p.UserId, ""),
	}
	if valueOf(p.Distinct, "false") == "true" {
		s.Distinct = func() store.Sketch { return &sketch.Distinct{} }
	}
	for _, field := range valueOf(p.GroupBy, nil) {
		if slices.Contains(s.GroupBy, string(field)) {
			return s, invalid("groupBy", "must not name a member twice")
		}
		s.GroupBy = append(s.GroupBy, string(field))
	}
	if p.Tz != nil {
		if s.Zone, err = time.LoadLocation(*p.Tz); err != nil || isOfMachine(*p.Tz) {
			return s, invalid("tz", "must be a time zone of the IANA database, as Europe/Berlin").Because(err)
		}
	}
	s.From, s.To, err = httpapi.Between(p.From, p.To)
	return s, err
}

// isOfMachine reports whether a name is a machine's own: PostgreSQL's may mean another zone by it, or none, and those that
// count leap seconds are off by half a minute there.
func isOfMachine(zone string) bool {
	directory, _, within := strings.Cut(zone, "/")
	return within && (directory == "right" || directory == "posix") || slices.Contains([]string{"Local", "localtime", "posixrules"}, zone)
}

func statOf(s store.Stats, item store.StatsItem) httpapi.EventStat {
	out := httpapi.EventStat{Start: event.FormatTime(item.Start), Group: map[string]*string{}, Count: item.Count}
	if item.Other {
		out.Other = &item.Other
	}
	for i, value := range item.Group {
		out.Group[s.GroupBy[i]] = value
	}
	out.Aggregates, out.Users = estimate(item.Aggregates), estimate(item.Users)
	return out
}

// estimate is how many there are; nil where that was not asked for.
func estimate(of store.Sketch) *int64 {
	d, asked := of.(*sketch.Distinct)
	if !asked {
		return nil
	}
	n := d.Estimate()
	return &n
}

// statsCSV is an answer as a table: a column for each member of the groups. A cell that a spreadsheet would take for a
// formula begins with an apostrophe.
func statsCSV(s store.Stats, answer httpapi.EventStats) ([]byte, error) {
	var out bytes.Buffer
	w := csv.NewWriter(&out)
	w.UseCRLF = true
	header := append([]string{"start"}, s.GroupBy...)
	if len(s.GroupBy) > 0 {
		header = append(header, "other")
	}
	header = append(header, "count")
	if s.Distinct != nil {
		header = append(header, "aggregates", "users")
	}
	_ = w.Write(header) // Error tells
	for _, item := range answer.Items {
		row := []string{item.Start}
		for _, field := range s.GroupBy {
			row = append(row, cell(valueOf(item.Group[field], "")))
		}
		if len(s.GroupBy) > 0 {
			row = append(row, strconv.FormatBool(item.Other != nil))
		}
		row = append(row, strconv.FormatInt(item.Count, 10))
		if s.Distinct != nil {
			row = append(row, strconv.FormatInt(*item.Aggregates, 10), strconv.FormatInt(*item.Users, 10))
		}
		_ = w.Write(row)
	}
	w.Flush()
	return out.Bytes(), w.Error()
}

// cell keeps a spreadsheet from taking a text for a formula.
func cell(text string) string {
	if text != "" && bytes.IndexByte([]byte("=+-@\t\r"), text[0]) >= 0 {
		return "'" + text
	}
	return text
}
