package audit

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype"

	"audittrail/modules/event"
)

// Pages is a run of consecutive pages of a partition of events, or of event_keys. One statement reads it. If that
// fails, Lines returns its rows, to be read one by one.
type Pages struct {
	from, to tid // [from, to)
	table    string
	relation string  // the table in SQL
	within   Stretch // times of the partition; zero for event_keys
	but      string  // condition that leaves out some lines, in SQL
}

// But returns the pages without some of their lines.
func (p Pages) But(lines []Line) Pages {
	if len(lines) > 0 {
		tids := make([]string, len(lines))
		for i, line := range lines {
			tids[i] = `"` + line.from.String() + `"`
		}
		p.but = " AND ctid <> ALL ('{" + strings.Join(tids, ",") + "}'::tid[])"
	}
	return p
}

// tid is the place of a row in a table: a page, and a line of it.
type tid int64

// lineBits is enough bits for the number of a line in a page.
const lineBits = 12

func (t tid) String() string { return fmt.Sprintf("(%d,%d)", t>>lineBits, t&(1<<lineBits-1)) }

// source returns the pages in SQL, for FROM and WHERE. It is a Tid Range Scan, or a Seq Scan of a small table. The
// table itself is read, and no condition is on a column, so no index can answer. Rows that an index lacks are
// read too, and so are rows outside the partition's bounds.
func (p Pages) source() (from, where string) {
	return "ONLY " + p.relation, fmt.Sprintf("ctid >= '%s' AND ctid < '%s'%s", p.from, p.to, p.but)
}

// Holds reports whether an event of this time belongs into the table of the pages.
func (p Pages) Holds(t time.Time) bool { return p.within.Holds(t) }

// Table returns the name of the table of the pages.
func (p Pages) Table() string { return p.table }

// Place names the pages for people.
func (p Pages) Place() string {
	if p.to == p.from+1 {
		return fmt.Sprintf("line %s of %s", p.from, p.table)
	}
	return fmt.Sprintf("pages %d to %d of %s", p.from>>lineBits, p.to>>lineBits-1, p.table)
}

// Line is one row of a page, with its id and event id: -1 and zeros if they are NULL.
type Line struct {
	Pages
	ID      int64
	EventID event.ID
	Why     error // why it can't be read
}

// Lines returns the rows of pages, by their places and ids only.
func (v *View) Lines(ctx context.Context, p Pages) ([]Line, error) {
	id := "coalesce(id, -1)"
	if p.table == keysTable {
		id = "-1"
	}
	from, where := p.source()
	var lines []Line
	err := v.each(ctx, "read "+p.Place(), func(rows pgx.Rows) error {
		var (
			at      pgtype.TID
			line    = Line{Pages: p}
			eventID [16]byte
		)
		err := rows.Scan(&at, &line.ID, &eventID)
		line.from = tid(at.BlockNumber)<<lineBits | tid(at.OffsetNumber)
		line.to, line.EventID = line.from+1, event.ID(eventID)
		lines = append(lines, line)
		return err
	}, fmt.Sprintf(`SELECT ctid, %s, coalesce(event_id, '00000000-0000-0000-0000-000000000000') FROM %s WHERE %s`, id, from, where))
	return lines, err
}

// pagesAtATime is 4 MiB of a table: enough for statements to cost little, and little enough for workers to
// finish at about the same time.
const pagesAtATime = 512

// EventTable is a child table of events, by the catalogue.
type EventTable struct {
	Name string
	Odd  string // why it is no partition as we make them, so that its rows are not read; "" if it is one

	relation string // in SQL
	within   Stretch
	size     int64 // pages
}

// It uses the indexes of pg_inherits. A partition of ours is a plain table, and its bounds are two times.
const partitionPagesSQL = `
	SELECT name, schema, kind, parted, hides, bound ~ $r$^FOR VALUES FROM \(('[^']*'|MINVALUE)\) TO \(('[^']*'|MAXVALUE)\)$$r$,
	       substring(bound FROM $$FROM \('([^']*)'\)$$)::timestamptz,
	       substring(bound FROM $$TO \('([^']*)'\)$$)::timestamptz,
	       coalesce(pg_relation_size(oid::regclass, 'main'::text), 0) / current_setting('block_size')::bigint
	FROM (SELECT c.oid, c.relname::text AS name, n.nspname::text AS schema, c.relkind::text AS kind,
	             c.relrowsecurity OR c.relforcerowsecurity OR c.relhasrules AS hides, coalesce(pg_get_expr(c.relpartbound, c.oid), '') AS bound,
	             EXISTS (SELECT FROM pg_inherits b WHERE b.inhparent = c.oid) AS parted
	      FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid JOIN pg_namespace n ON n.oid = c.relnamespace
	      WHERE i.inhparent = 'public.events'::regclass AND NOT i.inhdetachpending) AS partitions
	ORDER BY 7 NULLS FIRST`

// EventTables returns all child tables of events.
func (v *View) EventTables(ctx context.Context) ([]EventTable, error) {
	var list []EventTable
	err := v.each(ctx, "read partitions", func(rows pgx.Rows) error {
		var (
			p                    EventTable
			schema, kind         string
			parted, hides, plain bool
			lower, upper         pgtype.Timestamptz
		)
		if err := rows.Scan(&p.Name, &schema, &kind, &parted, &hides, &plain, &lower, &upper, &p.size); err != nil {
			return err
		}
		p.relation = pgx.Identifier{schema, p.Name}.Sanitize()
		p.within = Stretch{bound(lower), bound(upper)}
		switch {
		case kind != "r":
			p.Odd = "it is no plain table, but " + relationKind(kind)
		case parted:
			p.Odd = "other tables inherit from it"
		case hides:
			p.Odd = "it has a rule or row security of its own"
		case !plain || !inYears(p.within.From) || !inYears(p.within.To):
			p.Odd = "its bounds are not two times"
		}
		list = append(list, p)
		return nil
	}, partitionPagesSQL)
	return list, err
}

// inYears reports whether a bound is a time that our format can express. Zero, an open bound, is one.
func inYears(t time.Time) bool { return t.IsZero() || spellable(t).Equal(t) }

// EventPages returns all pages of the tables, except odd ones. Rows of the snapshot can't be on later pages.
func EventPages(tables []EventTable) []Pages {
	var list []Pages
	for _, p := range tables {
		if p.Odd == "" {
			list = appendPages(list, Pages{table: p.Name, relation: p.relation, within: p.within}, p.size)
		}
	}
	return list
}

const keysTable = "event_keys"

// KeyPages returns all pages of event_keys.
func (v *View) KeyPages(ctx context.Context) (list []Pages, err error) {
	err = v.each(ctx, "read the size of event_keys", func(rows pgx.Rows) error {
		var pages int64
		err := rows.Scan(&pages)
		list = appendPages(list, Pages{table: keysTable, relation: "public." + keysTable}, pages)
		return err
	}, `SELECT coalesce(pg_relation_size('public.event_keys'::regclass, 'main'::text), 0) / current_setting('block_size')::bigint`)
	return list, err
}

func appendPages(list []Pages, of Pages, pages int64) []Pages {
	for from := int64(0); from < pages; from += pagesAtATime {
		of.from, of.to = tid(from)<<lineBits, tid(min(from+pagesAtATime, pages))<<lineBits
		list = append(list, of)
	}
	return list
}

// Uncovered returns the stretches of time that no partition of events holds, sorted. Odd partitions do not count,
// since their rows are not read. A zero bound is open.
func Uncovered(tables []EventTable) (gaps []Stretch) {
	var end time.Time // of the partitions so far
	for _, p := range tables {
		if p.Odd != "" {
			continue
		}
		if !p.within.From.IsZero() && !p.within.From.Equal(end) {
			gaps = append(gaps, Stretch{end, p.within.From})
		}
		if end = p.within.To; end.IsZero() {
			return gaps
		}
	}
	return append(gaps, Stretch{From: end})
}

// bound returns a partition's bound, or zero for MINVALUE, MAXVALUE and infinity.
func bound(t pgtype.Timestamptz) time.Time {
	if !t.Valid || t.InfinityModifier != pgtype.Finite {
		return time.Time{}
	}
	return t.Time.UTC()
}

// Stretch is the times [From, To). A zero bound is open.
type Stretch struct{ From, To time.Time }

func (s Stretch) String() string {
	from, to := "the beginning", "the end"
	if !s.From.IsZero() {
		from = event.FormatTime(s.From)
	}
	if !s.To.IsZero() {
		to = event.FormatTime(s.To)
	}
	return "from " + from + " to " + to
}

// Holds reports whether t lies in the stretch.
func (s Stretch) Holds(t time.Time) bool {
	return (s.From.IsZero() || !t.Before(s.From)) && (s.To.IsZero() || t.Before(s.To))
}
