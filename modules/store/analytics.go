package store

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"audittrail/modules/event"
)

// Analytics is the session of the process that keeps the rollups. All its writes go through this session, in
// transactions that move a cursor on from where the caller believes it to be: so a process that has lost the lead
// without knowing can't count anything twice.
type Analytics struct{ *Lead }

// LeadAnalytics gives the caller the lead of the analytics if no other process has it. pool is of the role
// audittrail_analytics.
func LeadAnalytics(ctx context.Context, pool *pgxpool.Pool) (*Analytics, bool, error) {
	lead, ok, err := tryLead(ctx, pool, lockAnalytics, "analytics")
	return &Analytics{lead}, ok, err
}

// ErrCursorMoved says that another process has moved a cursor meanwhile: the caller's lead is lost, or the rollups were
// reset. What was to be written was not.
var ErrCursorMoved = errors.New("another process has moved the cursor")

const (
	cursorSQL      = `SELECT position, form FROM analytics_cursors WHERE name = $1`
	beginCursorSQL = `INSERT INTO analytics_cursors (name, position, form) VALUES ($1, 0, $2) ON CONFLICT DO NOTHING`
	moveCursorSQL  = `UPDATE analytics_cursors SET position = $3, updated_at = now() WHERE name = $1 AND position = $2`
	resetSQL       = `SELECT reset_analytics()`
)

// Cursor returns the next position that a part of the analytics has to read. form is the form in which the caller keeps
// what it counts. If the database has another one, all that was counted is forgotten first.
func (a *Analytics) Cursor(ctx context.Context, name string, form int) (int64, error) {
	var position int64
	var kept int
	err := a.conn.QueryRow(ctx, cursorSQL, name).Scan(&position, &kept)
	if err == nil && kept != form {
		if err = a.Reset(ctx); err == nil {
			err = pgx.ErrNoRows
		}
	}
	if errors.Is(err, pgx.ErrNoRows) {
		_, err = a.conn.Exec(ctx, beginCursorSQL, name, form)
		position = 0
	}
	if err != nil {
		return 0, fmt.Errorf("read the analytics' cursor %s: %w", name, err)
	}
	return position, nil
}

// Reset forgets everything that was counted. The leader counts again from the first event.
func (a *Analytics) Reset(ctx context.Context) error {
	if _, err := a.conn.Exec(ctx, resetSQL); err != nil {
		return fmt.Errorf("reset the analytics: %w", err)
	}
	return nil
}

// ResetAnalytics is Reset for a process without the lead; pool is of the role audittrail_analytics.
func ResetAnalytics(ctx context.Context, pool *pgxpool.Pool) error {
	if _, err := pool.Exec(ctx, resetSQL); err != nil {
		return fmt.Errorf("reset the analytics: %w", err)
	}
	return nil
}

// Fact is what is counted of an event. Members of metadata that the event lacks, or whose values are sealed, are nil.
type Fact struct {
	Timestamp                  time.Time
	Type                       string
	AggregateType, AggregateID string
	Source, User               *string
}

// factColumns are what readFacts reads: little, since all events are read. A sealed value is an object and not a text.
const factColumns = `timestamp, event_type, aggregate_type, aggregate_id,
	CASE jsonb_typeof(metadata -> 'source') WHEN 'string' THEN metadata ->> 'source' END,
	CASE jsonb_typeof(metadata -> 'userId') WHEN 'string' THEN metadata ->> 'userId' END`

// Facts returns the events at the positions from next on, in the order of their positions, and the next position
// behind them: about limit of them, since batches are read whole where they fit. Events that are archived are passed by.
func (a *Analytics) Facts(ctx context.Context, next int64, limit int) ([]Fact, int64, error) {
	slices, _, _, err := feedSlices(ctx, a.conn, next-1, next-1+int64(limit))
	if err != nil {
		return nil, next, fmt.Errorf("read batches for the analytics: %w", err)
	}
	var facts []Fact
	for len(slices) > 0 {
		part := slices[:min(feedBranches, len(slices))]
		slices = slices[len(part):]
		if facts, err = readFacts(ctx, a.conn, part, facts); err != nil {
			return nil, next, fmt.Errorf("read events for the analytics: %w", err)
		}
		next = part[len(part)-1].last + 1
	}
	return facts, next, nil
}

func readFacts(ctx context.Context, conn *pgx.Conn, parts []slice, facts []Fact) ([]Fact, error) {
	s := &selection{where: &conditions{}, order: "id", limit: len(parts) << indexBits}
	for _, p := range parts {
		s.branches = append(s.branches, fmt.Sprintf("timestamp BETWEEN '%s' AND '%s' AND id BETWEEN %d AND %d",
			event.FormatTime(p.earliest.UTC()), event.FormatTime(p.latest.UTC()), p.lowest, p.highest))
	}
	sql, args := s.rows(factColumns, nil)
	rows, _ := conn.Query(ctx, sql, append([]any{pgx.QueryExecModeExec}, args...)...) // ForEachRow reports the error
	var f Fact
	_, err := pgx.ForEachRow(rows, []any{&f.Timestamp, &f.Type, &f.AggregateType, &f.AggregateID, &f.Source, &f.User}, func() error {
		f.Timestamp = utc(f.Timestamp)
		facts = append(facts, f)
		return nil
	})
	return facts, err
}

// EventCount is a row of rollup_events. The sketches are nil where a unit has none.
type EventCount struct {
	EventKey
	Count             int64
	Aggregates, Users []byte
}

// EventKey names a row of rollup_events. Start is the beginning of the unit, in UTC.
type EventKey struct {
	Unit                string
	Start               time.Time
	Type, AggregateType string
	Source              string
	HasSource           bool
}

// Compare orders keys as the index on rollup_events does.
func (k EventKey) Compare(o EventKey) int {
	return cmp.Or(strings.Compare(k.Unit, o.Unit), k.Start.Compare(o.Start), strings.Compare(k.Type, o.Type),
		strings.Compare(k.AggregateType, o.AggregateType), strings.Compare(k.Source, o.Source))
}

func (k EventKey) source() *string {
	if !k.HasSource {
		return nil
	}
	return &k.Source
}

// UserCount is a row of rollup_users.
type UserCount struct {
	UserKey
	Count int64
}

// UserKey names a row of rollup_users.
type UserKey struct {
	Unit       string
	Start      time.Time
	User, Type string
}

// Compare orders keys as the primary key of rollup_users does.
func (k UserKey) Compare(o UserKey) int {
	return cmp.Or(strings.Compare(k.Unit, o.Unit), k.Start.Compare(o.Start), strings.Compare(k.User, o.User), strings.Compare(k.Type, o.Type))
}

const (
	// It uses the unique index of rollup_events: NULLs are found by IS NOT DISTINCT FROM only without it, hence two branches.
	sketchesSQL = `
		SELECT k.n, r.aggregates, r.users
		FROM unnest($1::text[], $2::timestamptz[], $3::text[], $4::text[], $5::text[]) WITH ORDINALITY AS k (unit, start, event_type, aggregate_type, source, n)
		JOIN rollup_events AS r ON (r.unit, r.start, r.event_type, r.aggregate_type) = (k.unit, k.start, k.event_type, k.aggregate_type)
			AND (r.source = k.source OR r.source IS NULL AND k.source IS NULL)`

	addEventsSQL = `
		INSERT INTO rollup_events AS r (unit, start, event_type, aggregate_type, source, count, aggregates, users)
		SELECT * FROM unnest($1::text[], $2::timestamptz[], $3::text[], $4::text[], $5::text[], $6::bigint[], $7::bytea[], $8::bytea[])
		ON CONFLICT (unit, start, event_type, aggregate_type, source)
		DO UPDATE SET count = r.count + excluded.count, aggregates = excluded.aggregates, users = excluded.users`

	addUsersSQL = `
		INSERT INTO rollup_users AS r (unit, start, user_id, event_type, count)
		SELECT * FROM unnest($1::text[], $2::timestamptz[], $3::text[], $4::text[], $5::bigint[])
		ON CONFLICT (unit, start, user_id, event_type) DO UPDATE SET count = r.count + excluded.count`
)

// Sketches calls found with what is stored of the keys: the index of the key, and its sketches.
func (a *Analytics) Sketches(ctx context.Context, keys []EventKey, found func(i int, aggregates, users []byte) error) error {
	c := eventColumnsOf(keys)
	rows, _ := a.conn.Query(ctx, sketchesSQL, c.units, c.starts, c.types, c.aggregateTypes, c.sources) // ForEachRow reports the error
	var (
		n                 int
		aggregates, users []byte
	)
	if _, err := pgx.ForEachRow(rows, []any{&n, &aggregates, &users}, func() error { return found(n-1, aggregates, users) }); err != nil {
		return fmt.Errorf("read sketches: %w", err)
	}
	return nil
}

// columns are keys as arrays, which one statement takes.
type eventKeyColumns struct {
	units, types, aggregateTypes []string
	starts                       []time.Time
	sources                      []*string
}

func eventColumnsOf(keys []EventKey) (c eventKeyColumns) {
	for _, k := range keys {
		c.units, c.starts = append(c.units, k.Unit), append(c.starts, k.Start)
		c.types, c.aggregateTypes, c.sources = append(c.types, k.Type), append(c.aggregateTypes, k.AggregateType), append(c.sources, k.source())
	}
	return c
}

// AddCounts adds to the rollups what was counted in the positions from … to-1, and moves the cursor to to, all or
// nothing. Sketches MUST hold what was stored before too. Rows in the order of their keys cost least: they go to the same
// pages one after the other, and are read from there later. The error is ErrCursorMoved if the cursor is not at from.
func (a *Analytics) AddCounts(ctx context.Context, cursor string, from, to int64, events []EventCount, users []UserCount) error {
	keys := make([]EventKey, len(events))
	counts, aggregates, people := make([]int64, len(events)), make([][]byte, len(events)), make([][]byte, len(events))
	for i, e := range events {
		keys[i], counts[i], aggregates[i], people[i] = e.EventKey, e.Count, e.Aggregates, e.Users
	}
	c := eventColumnsOf(keys)
	var u struct {
		units, users, types []string
		starts              []time.Time
		counts              []int64
	}
	for _, one := range users {
		u.units, u.starts, u.users = append(u.units, one.Unit), append(u.starts, one.Start), append(u.users, one.User)
		u.types, u.counts = append(u.types, one.Type), append(u.counts, one.Count)
	}
	return a.advance(ctx, cursor, from, to, func(b *pgx.Batch) {
		b.Queue(addEventsSQL, c.units, c.starts, c.types, c.aggregateTypes, c.sources, counts, aggregates, people)
		b.Queue(addUsersSQL, u.units, u.starts, u.users, u.types, u.counts)
	})
}

// MoveCursor moves a cursor alone.
func (a *Analytics) MoveCursor(ctx context.Context, cursor string, from, to int64) error {
	return a.advance(ctx, cursor, from, to, func(*pgx.Batch) {})
}

// advance runs statements in one transaction that moves a cursor.
func (a *Analytics) advance(ctx context.Context, cursor string, from, to int64, queue func(b *pgx.Batch)) error {
	err := pgx.BeginFunc(ctx, a.conn, func(tx pgx.Tx) error {
		tag, err := tx.Exec(ctx, moveCursorSQL, cursor, from, to)
		if err != nil {
			return err
		}
		if tag.RowsAffected() != 1 {
			return ErrCursorMoved
		}
		var b pgx.Batch
		queue(&b)
		return tx.SendBatch(ctx, &b).Close()
	})
	if err != nil {
		return fmt.Errorf("write rollups: %w", err)
	}
	return nil
}
