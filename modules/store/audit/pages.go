package audit

import (
	"context"
	"fmt"
	"sort"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype"

	"audittrail/modules/event"
	"audittrail/modules/ledger"
)

// Pages is a run of consecutive pages of a partition of events or of access_log, or of event_keys. One statement
// reads it. If that fails, Lines returns its rows, to be read one by one.
type Pages struct {
	Table    string
	Log      ledger.Log // whose rows they are; "" for event_keys
	from, to tid        // [from, to)
	relation string     // the table in SQL
	within   stretch    // times of the partition
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
	return "ONLY " + p.relation, fmt.Sprintf("ctid >= '%s' AND ctid < '%s'", p.from, p.to)
}

// Holds reports whether a row of this time belongs into the table of the pages.
func (p Pages) Holds(t time.Time) bool { return p.within.holds(t) }

func (p Pages) String() string {
	if p.to == p.from+1 {
		return fmt.Sprintf("line %s of %s", p.from, p.Table)
	}
	return fmt.Sprintf("pages %d to %d of %s", p.from>>lineBits, p.to>>lineBits-1, p.Table)
}

// Line is one row of a page, with its id and event id: -1 and zeros if they are NULL, or if the table has none.
type Line struct {
	Pages
	ID      int64
	EventID event.ID
}

// Lines returns the rows of pages, by their places and ids only.
func (v *View) Lines(ctx context.Context, p Pages) (lines []Line, err error) {
	id, eventID := "coalesce(id, -1)", "coalesce(event_id, '00000000-0000-0000-0000-000000000000')"
	switch p.Log {
	case ledger.Access:
		eventID = "'00000000-0000-0000-0000-000000000000'::uuid"
	case ledger.Events:
	default:
		id = "-1"
	}
	from, where := p.source()
	err = v.each(ctx, "read "+p.String(), func(rows pgx.Rows) error {
		var at pgtype.TID
		line := Line{Pages: p}
		err := rows.Scan(&at, &line.ID, (*[16]byte)(&line.EventID))
		line.from = tid(at.BlockNumber)<<lineBits | tid(at.OffsetNumber)
		line.to = line.from + 1
		lines = append(lines, line)
		return err
	}, `SELECT ctid, `+id+`, `+eventID+` FROM `+from+` WHERE `+where)
	return lines, err
}

// Partition is a child table of events or of access_log, by the catalogue.
type Partition struct {
	Pages        // all of them
	Odd   string // why it is no partition as we make them, so that its rows are not read; "" if it is one
}

// It uses the indexes of pg_inherits. A partition of ours is a plain table, and its bounds are two times.
const partitionsSQL = `
	SELECT name, schema, kind, parted, hides, bound ~ $r$^FOR VALUES FROM \(('[^']*'|MINVALUE)\) TO \(('[^']*'|MAXVALUE)\)$$r$,
	       substring(bound FROM $$FROM \('([^']*)'\)$$)::timestamptz,
	       substring(bound FROM $$TO \('([^']*)'\)$$)::timestamptz,
	       coalesce(pg_relation_size(oid::regclass, 'main'::text), 0) / current_setting('block_size')::bigint
	FROM (SELECT c.oid, c.relname::text AS name, n.nspname::text AS schema, c.relkind::text AS kind,
	             c.relrowsecurity OR c.relforcerowsecurity OR c.relhasrules AS hides, coalesce(pg_get_expr(c.relpartbound, c.oid), '') AS bound,
	             EXISTS (SELECT FROM pg_inherits b WHERE b.inhparent = c.oid) AS parted
	      FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid JOIN pg_namespace n ON n.oid = c.relnamespace
	      WHERE i.inhparent = 'public.%s'::regclass AND NOT i.inhdetachpending) AS partitions
	ORDER BY 7 NULLS FIRST`

// Partitions returns all child tables of a log's table, in the order of their times.
func (v *View) Partitions(ctx context.Context, log ledger.Log) ([]Partition, error) {
	var list []Partition
	err := v.each(ctx, "read partitions", func(rows pgx.Rows) error {
		var (
			p                    = Partition{Pages: Pages{Log: log}}
			schema, kind         string
			parted, hides, plain bool
			lower, upper         pgtype.Timestamptz
		)
		if err := rows.Scan(&p.Table, &schema, &kind, &parted, &hides, &plain, &lower, &upper, (*int64)(&p.to)); err != nil {
			return err
		}
		p.to <<= lineBits
		p.relation = pgx.Identifier{schema, p.Table}.Sanitize()
		p.within = stretch{bound(lower), bound(upper)}
		switch {
		case kind != "r":
			p.Odd = "it is no plain table, but " + relationKind(kind)
		case parted:
			p.Odd = "other tables inherit from it"
		case hides:
			p.Odd = "it has a rule or row security of its own"
		case !plain || !inYears(p.within.from) || !inYears(p.within.to):
			p.Odd = "its bounds are not two times"
		}
		list = append(list, p)
		return nil
	}, fmt.Sprintf(partitionsSQL, map[ledger.Log]string{ledger.Events: "events", ledger.Access: "access_log"}[log]))
	return list, err
}

// inYears reports whether a bound is a time that our format can express. Zero, an open bound, is one.
func inYears(t time.Time) bool { return t.IsZero() || spellable(t).Equal(t) }

// pagesAtATime is 4 MiB of a table: enough for statements to cost little, and little enough for workers to
// finish at about the same time.
const pagesAtATime = 512 << lineBits

// AllPages returns the pages of the partitions, except odd ones. Rows of the snapshot can't be on later pages.
func AllPages(partitions []Partition) (list []Pages) {
	for _, p := range partitions {
		if p.Odd == "" {
			list = p.split(list)
		}
	}
	return list
}

func (p Pages) split(list []Pages) []Pages {
	for end := p.to; p.from < end; p.from = p.to {
		p.to = min(p.from+pagesAtATime, end)
		list = append(list, p)
	}
	return list
}

// KeyPages returns all pages of event_keys.
func (v *View) KeyPages(ctx context.Context) (list []Pages, err error) {
	err = v.each(ctx, "read the size of event_keys", func(rows pgx.Rows) error {
		p := Pages{Table: "event_keys", relation: "public.event_keys"}
		err := rows.Scan((*int64)(&p.to))
		p.to <<= lineBits
		list = p.split(nil)
		return err
	}, `SELECT coalesce(pg_relation_size('public.event_keys'::regclass, 'main'::text), 0) / current_setting('block_size')::bigint`)
	return list, err
}

// Hold reports whether one of the partitions, which are in the order of their times, is for rows of a time. Odd ones
// count too.
func Hold(partitions []Partition, t time.Time) bool {
	next := sort.Search(len(partitions), func(i int) bool { return partitions[i].within.from.After(t) })
	return next > 0 && partitions[next-1].Holds(t)
}

// bound returns a partition's bound, or zero for MINVALUE, MAXVALUE and infinity.
func bound(t pgtype.Timestamptz) time.Time {
	if !t.Valid || t.InfinityModifier != pgtype.Finite {
		return time.Time{}
	}
	return t.Time.UTC()
}

// stretch is the times [from, to). A zero bound is open.
type stretch struct{ from, to time.Time }

func (s stretch) holds(t time.Time) bool {
	return (s.from.IsZero() || !t.Before(s.from)) && (s.to.IsZero() || t.Before(s.to))
}
