package store

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"audittrail/platform/errs"
)

// Stats says which events to count, and by what.
type Stats struct {
	Interval string         // minute, hour, day, week or month
	Zone     *time.Location // whose days there are
	GroupBy  []string       // of the fields below
	Top      int            // at most so many groups, the largest; the others are counted together
	Distinct func() Sketch  // makes the sketches of aggregates and users of an item; nil: they are not asked for

	EventTypes            []string // any of them; "" and nil do not filter
	AggregateType, Source string
	UserID                string
	From, To              time.Time // From inclusive, To exclusive; zero: open
}

// The fields by which events are counted.
const (
	ByEventType     = "eventType"
	ByAggregateType = "aggregateType"
	BySource        = "source"
	ByUser          = "userId"
)

const (
	// ScanSpan is how long the time may be where rollups don't have the answer and events are counted one by one.
	ScanSpan = 31 * 24 * time.Hour

	maxStats    = 20_000  // items an answer has
	maxDistinct = 2_000   // and with sketches, which take 8 KiB an item
	maxSketches = 100_000 // rows whose sketches are read for one answer
)

// StatsAnswer is counts over time.
type StatsAnswer struct {
	Items    []StatsItem // by start, then the largest count first
	Position int64       // the last one that is counted; -1 for none
	Head     int64       // the last one that is stored
	Scanned  bool        // the events were counted one by one
}

// StatsItem is the count of one group in one interval.
type StatsItem struct {
	Start             time.Time
	Group             []*string // in the order of GroupBy; nil where events have none. Empty where Other is set
	Other             bool      // all groups beyond the largest ones
	Count             int64
	Aggregates, Users Sketch // nil where none was asked for
}

// Sketch takes in what rollups keep as a sketch.
type Sketch interface{ Merge(encoded []byte) error }

// Stats counts events, from the rollups if these have the answer. Otherwise From has to be given, and the time may have
// 31 days.
func (r *Reader) Stats(ctx context.Context, s Stats) (answer StatsAnswer, err error) {
	if !s.To.IsZero() && !s.From.IsZero() && !s.From.Before(s.To) {
		return answer, errs.New(errs.Invalid, "invalid_parameter", "must be after from: to itself is not part of the count").InField("to")
	}
	err = r.read(ctx, "count events", func(ctx context.Context, conn *pgx.Conn) error {
		return inSnapshot(ctx, conn, func() error {
			answer = StatsAnswer{} // the read may be tried again
			return s.count(ctx, conn, r.now(), &answer)
		})
	})
	return answer, err
}

// count makes the answer. It MUST be called in a snapshot: then what the rollups had at the answer's position is
// counted, and nothing beyond it but parts of an hour of a user, which events are read for.
func (s Stats) count(ctx context.Context, conn *pgx.Conn, now time.Time, answer *StatsAnswer) error {
	ends, err := readStatsEnds(ctx, conn)
	if err != nil {
		return err
	}
	answer.Position, answer.Head = ends.counted, ends.head
	p := s.plan(Unscoped(ctx), ends)
	if answer.Scanned = p.table == ""; answer.Scanned {
		if err := s.scannable(now); err != nil {
			return err
		}
		answer.Position = answer.Head
	}
	if s.Distinct != nil && !p.sketched() {
		return errs.New(errs.Invalid, "invalid_parameter",
			"can be estimated for intervals of an hour and more whose from and to are whole hours, and not by or of a user").InField("distinct")
	}
	sql, args := s.sql(p, scopesOf(ctx))
	rows, _ := conn.Query(ctx, sql, append([]any{pgx.QueryExecModeExec}, args...)...) // CollectRows reports the error
	if answer.Items, err = pgx.CollectRows(rows, func(row pgx.CollectableRow) (StatsItem, error) { return s.scanItem(row) }); err != nil {
		return err
	}
	most := maxStats
	if s.Distinct != nil {
		most = maxDistinct
	}
	if len(answer.Items) > most {
		return tooLong("the answer would have more than %d items: ask for a longer interval, a shorter time or fewer groups", most)
	}
	if s.Distinct != nil {
		return s.readSketches(ctx, conn, p, answer.Items)
	}
	return nil
}

func tooLong(format string, args ...any) error {
	return errs.New(errs.TooExpensive, "range_too_long", format, args...)
}

// scannable reports whether the time is short enough to count its events one by one.
func (s Stats) scannable(now time.Time) error {
	to := s.To
	if to.IsZero() {
		to = now
	}
	if s.From.IsZero() || to.Sub(s.From) > ScanSpan {
		return tooLong("no rollup has this combination of groups and filters, and events are counted one by one for 31 days at most: give from and to")
	}
	return nil
}

// statsEnds is what the rollups have: the last position in them, and the beginnings of the earliest and the latest day;
// and the last position that is stored. A position is -1 where there is none.
type statsEnds struct {
	counted, head    int64
	earliest, latest time.Time
}

// They use the primary key of analytics_cursors and the unique index of rollup_events.
const statsEndsSQL = `SELECT coalesce((SELECT position FROM analytics_cursors WHERE name = 'counts'), 0) - 1,
	coalesce((SELECT min(start) FROM rollup_events WHERE unit = 'day'), now()),
	coalesce((SELECT max(start) FROM rollup_events WHERE unit = 'day'), now())`

func readStatsEnds(ctx context.Context, conn *pgx.Conn) (e statsEnds, err error) {
	if err = conn.QueryRow(ctx, statsEndsSQL).Scan(&e.counted, &e.earliest, &e.latest); err != nil {
		return e, err
	}
	e.head = -1
	if err = conn.QueryRow(ctx, headSQL).Scan(&e.head); errors.Is(err, pgx.ErrNoRows) {
		err = nil
	}
	return e, err
}

// groupColumns are the columns of a table's fields, by the names of groups.
func groupColumns(table string) map[string]string {
	switch table {
	case "rollup_events":
		return map[string]string{ByEventType: "event_type", ByAggregateType: "aggregate_type", BySource: "source"}
	case "rollup_users":
		return map[string]string{ByEventType: "event_type", ByUser: "user_id"}
	}
	text := func(name string) string {
		return `(CASE jsonb_typeof(metadata -> '` + name + `') WHEN 'string' THEN metadata ->> '` + name + `' END) COLLATE "C"` // a sealed value is no text
	}
	return map[string]string{ByEventType: `event_type COLLATE "C"`, ByAggregateType: `aggregate_type COLLATE "C"`, BySource: text("source"), ByUser: text("userId")}
}

// from is the FROM part of a statement: each piece's rows with bucket, n, the groups g1, g2 …, and more.
func (s Stats) from(c *conditions, p statsPlan, visible scopes, more string) string {
	branches := make([]string, len(p.pieces))
	for i, piece := range p.pieces {
		rows, at, n := "("+s.rows(c, p, piece, visible, more)+") AS r", "r.at", "r.n"
		if p.shifted && piece.unit == "day" {
			at += noon
		}
		if piece.hours != nil { // each row twice: added where it belongs, taken away where its day counts
			rows += " CROSS JOIN LATERAL (VALUES (r.at, r.n), (date_trunc('day', r.at, 'UTC')" + noon + ", -r.n)) AS moved (at, n)"
			at, n = "moved.at", "moved.n"
		}
		if !s.begins(p, piece) {
			at = "date_trunc('" + s.Interval + "', " + at + ", " + c.bind(s.Zone.String()) + ")"
		}
		branches[i] = "SELECT " + at + " AS bucket, " + n + " AS n" + s.groups("") + more + " FROM " + rows
	}
	return "(" + strings.Join(branches, " UNION ALL ") + ") AS rows"
}

const noon = " + interval '12 hours'"

// begins reports whether a piece's rows are those of whole intervals, and so begin where these do.
func (s Stats) begins(p statsPlan, piece piece) bool { return piece.unit == s.Interval && !p.shifted }

// rows reads a piece: at, n, the groups and more.
func (s Stats) rows(c *conditions, p statsPlan, piece piece, visible scopes, more string) string {
	table, at, n, source := p.table, "start", "count", "source"
	if piece.unit == "" {
		table, at, n, source = "events", "timestamp", "1::bigint", sourceOf
	}
	columns := groupColumns(table)
	w := &conditions{args: c.args}
	if piece.unit != "" {
		w.terms = append(w.terms, "unit = '"+piece.unit+"'")
	}
	if !piece.from.IsZero() {
		w.add(at+" >= %s", piece.from)
	}
	if !piece.to.IsZero() {
		w.add(at+" < %s", piece.to)
	}
	if piece.hours != nil {
		w.add("start = ANY (%s::timestamptz[])", piece.hours)
	}
	if len(s.EventTypes) > 0 {
		w.add("event_type = ANY (%s::text[])", s.EventTypes)
	}
	w.addText("aggregate_type = %s", s.AggregateType)
	if s.Source != "" {
		w.add(source+" = %s", s.Source)
	}
	if table == "events" {
		w.addText(userIs, s.UserID)
	} else {
		w.addText("user_id = %s", s.UserID)
	}
	visible.limitBy(w, source)
	if slices.Contains(s.GroupBy, ByUser) { // who is sealed, or nobody, is no group
		w.terms = append(w.terms, columns[ByUser]+" IS NOT NULL")
	}
	c.args = w.args
	grouped := ""
	if piece.unit != "" && !s.begins(p, piece) && more == "" && !slices.Contains(s.GroupBy, ByEventType) {
		// date_trunc costs more than a sum, and a unit has a row for each event type.
		n, grouped = "sum(count)::bigint", " GROUP BY start"+s.groups("")
	}
	list := at + " AS at, " + n + " AS n"
	for i, field := range s.GroupBy {
		list += fmt.Sprintf(", %s AS g%d", columns[field], i+1)
	}
	return "SELECT " + list + more + " FROM " + table + " WHERE " + w.sql() + grouped
}

// groups are the columns of the groups, each behind a comma.
func (s Stats) groups(table string) string {
	list := ""
	for i := range s.GroupBy {
		list += fmt.Sprintf(", %sg%d", table, i+1)
	}
	return list
}

// sql counts. It uses the unique index of rollup_events or the primary key of rollup_users, by unit and start, and the
// primary key of events.
func (s Stats) sql(p statsPlan, visible scopes) (string, []any) {
	c := &conditions{}
	groups := s.groups("")
	counted := "SELECT bucket" + groups + ", sum(n)::bigint AS n FROM " + s.from(c, p, visible, "") + " GROUP BY bucket" + groups
	if p.shifted {
		counted += " HAVING sum(n) <> 0"
	}
	limit := fmt.Sprintf(" LIMIT %d", maxStats+1)
	if groups == "" {
		return counted + " ORDER BY bucket" + limit, c.args
	}
	list, shown, same := groups[len(", "):], s.groups("top."), make([]string, len(s.GroupBy))
	for i := range s.GroupBy { // IS NOT DISTINCT FROM can't be hashed
		same[i] = fmt.Sprintf("coalesce(counted.g%d, '') = coalesce(top.g%[1]d, '') AND (counted.g%[1]d IS NULL) = (top.g%[1]d IS NULL)", i+1)
	}
	return "WITH counted AS MATERIALIZED (" + counted + "), " +
		"top AS (SELECT " + list + ", false AS other FROM counted GROUP BY " + list + " ORDER BY sum(n) DESC" + groups + " LIMIT " + c.bind(s.Top) + ") " +
		"SELECT bucket" + shown + ", sum(n)::bigint AS n, coalesce(top.other, true) AS others FROM counted LEFT JOIN top ON " + strings.Join(same, " AND ") +
		" GROUP BY bucket, others" + shown + " ORDER BY bucket, others, n DESC" + shown + limit, c.args
}

// readSketches adds to the items the sketches of the rows that they count.
func (s Stats) readSketches(ctx context.Context, conn *pgx.Conn, p statsPlan, items []StatsItem) error {
	at := map[string]*StatsItem{}
	for i := range items {
		items[i].Aggregates, items[i].Users = s.Distinct(), s.Distinct()
		at[items[i].key()] = &items[i]
	}
	c := &conditions{}
	sql := "SELECT bucket" + s.groups("") + ", aggregates, users FROM " + s.from(c, p, scopesOf(ctx), ", aggregates, users") + fmt.Sprintf(" LIMIT %d", maxSketches+1)
	rows, _ := conn.Query(ctx, sql, append([]any{pgx.QueryExecModeExec}, c.args...)...) // ForEachRow reports the error
	one := StatsItem{Group: make([]*string, len(s.GroupBy))}
	var aggregates, users []byte
	targets := []any{&one.Start}
	for i := range one.Group {
		targets = append(targets, &one.Group[i])
	}
	n := 0
	_, err := pgx.ForEachRow(rows, append(targets, &aggregates, &users), func() error {
		if n++; n > maxSketches {
			return tooLong("estimates of so many groups and intervals take longer than is granted: ask for a shorter time")
		}
		one.Start = utc(one.Start)
		item := at[one.key()]
		if item == nil {
			item = at[(&StatsItem{Start: one.Start, Other: true}).key()]
		}
		return errors.Join(item.Aggregates.Merge(aggregates), item.Users.Merge(users))
	})
	return err
}

// key tells the items of an answer apart.
func (i *StatsItem) key() string {
	b := []byte(i.Start.Format(time.RFC3339Nano))
	if i.Other {
		return string(append(b, 1))
	}
	for _, g := range i.Group {
		if g == nil {
			b = append(b, 2)
		} else {
			b = appendField(b, *g)
		}
	}
	return string(b)
}

func (s Stats) scanItem(row pgx.CollectableRow) (StatsItem, error) {
	item := StatsItem{Group: make([]*string, len(s.GroupBy))}
	targets := append(make([]any, 0, len(s.GroupBy)+3), &item.Start)
	for i := range item.Group {
		targets = append(targets, &item.Group[i])
	}
	targets = append(targets, &item.Count)
	if len(s.GroupBy) > 0 {
		targets = append(targets, &item.Other)
	}
	err := row.Scan(targets...)
	item.Start = utc(item.Start)
	if item.Other {
		item.Group = nil
	}
	return item, err
}
