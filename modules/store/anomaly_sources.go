package store

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"audittrail/modules/event"
)

// Point is a count in an hour.
type Point struct {
	Series string // what is counted: a source, an event type, a user, a topic, a principal
	Kind   string // the event type of a user's count, else ""
	Hour   time.Time
	Count  int64
}

const (
	// They use the unique index of rollup_events, by unit and start. A series begins with its first day. What has fewer than
	// ten events in all hours is too little to be unusual: producers may make a million of such series.
	typePointsSQL = `SELECT event_type, '', start, sum(count)::bigint FROM rollup_events WHERE unit = 'hour' AND start = ANY ($1) AND event_type IN (
			SELECT event_type FROM rollup_events WHERE unit = 'hour' AND start = ANY ($1) GROUP BY 1 HAVING sum(count) >= 10 ORDER BY sum(count) DESC LIMIT 10000)
		GROUP BY 1, 3`
	sourcePointsSQL = `SELECT source, '', start, sum(count)::bigint FROM rollup_events WHERE unit = 'hour' AND start = ANY ($1) AND source IN (
			SELECT source FROM rollup_events WHERE unit = 'hour' AND start = ANY ($1) AND source IS NOT NULL GROUP BY 1 HAVING sum(count) >= 10 ORDER BY sum(count) DESC LIMIT 10000)
		GROUP BY 1, 3`
	typeHoursSQL    = `SELECT event_type, '', start, sum(count)::bigint FROM rollup_events WHERE unit = 'hour' AND start = ANY ($1) AND event_type = ANY ($2) GROUP BY 1, 3`
	sourceHoursSQL  = `SELECT source, '', start, sum(count)::bigint FROM rollup_events WHERE unit = 'hour' AND start = ANY ($1) AND source = ANY ($2) GROUP BY 1, 3`
	firstTypesSQL   = `SELECT event_type, '', min(start), 0::bigint FROM rollup_events WHERE unit = 'day' AND start >= $1 AND event_type = ANY ($2) GROUP BY 1`
	firstSourcesSQL = `SELECT source, '', min(start), 0::bigint FROM rollup_events WHERE unit = 'day' AND start >= $1 AND source = ANY ($2) GROUP BY 1`
	typeKindsSQL    = `SELECT DISTINCT event_type, aggregate_type, source FROM rollup_events WHERE unit = 'day' AND start = ANY ($1) AND event_type = $2 LIMIT 1001`
	sourceKindsSQL  = `SELECT DISTINCT event_type, aggregate_type, source FROM rollup_events WHERE unit = 'day' AND start = ANY ($1) AND source = $2 LIMIT 1001`

	// It uses the primary key of rollup_users: users of whom there is enough to know them, and all that they did.
	userPointsSQL = `SELECT user_id, event_type, start, count FROM rollup_users WHERE unit = 'hour' AND start >= $1 AND start <= $2 AND user_id IN (
			SELECT user_id FROM rollup_users WHERE unit = 'hour' AND start >= $1 AND start <= $2 GROUP BY 1
			HAVING sum(count) >= $3 AND count(DISTINCT date_trunc('day', start, 'UTC')) >= $4)
		LIMIT $5`

	// It uses dead_letters_received.
	deadPointsSQL = `SELECT topic, CASE reason WHEN 'event_id_conflict' THEN reason ELSE '' END, date_trunc('hour', received_at, 'UTC'), count(*)
		FROM dead_letters WHERE received_at >= $1 AND received_at < $2 GROUP BY 1, 2, 3`

	// An export's entries have a sum each: its end's is the whole. It uses the primary key of access_log.
	accessPointsSQL = `SELECT entry ->> 'principal', CASE WHEN entry ->> 'route' = '/v1/events/export' THEN 'export' ELSE '' END, date_trunc('hour', time, 'UTC'),
			sum((entry ->> 'events')::bigint)::bigint
		FROM access_log WHERE time >= $1 AND time < $2 AND entry ->> 'phase' IN ('request', 'end') AND (entry ->> 'events')::bigint > 0 GROUP BY 1, 2, 3`
)

func (a *Analytics) points(ctx context.Context, what, sql string, args ...any) ([]Point, error) {
	rows, _ := a.conn.Query(ctx, sql, args...) // CollectRows reports the error
	points, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (p Point, err error) {
		err = row.Scan(&p.Series, &p.Kind, &p.Hour, &p.Count)
		p.Hour = utc(p.Hour)
		return p, err
	})
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", what, err)
	}
	return points, nil
}

// TypePoints returns the events of each type in some hours; SourcePoints, those of each source.
func (a *Analytics) TypePoints(ctx context.Context, hours []time.Time) ([]Point, error) {
	return a.points(ctx, "counts of types", typePointsSQL, hours)
}

// SourcePoints is TypePoints by source.
func (a *Analytics) SourcePoints(ctx context.Context, hours []time.Time) ([]Point, error) {
	return a.points(ctx, "counts of sources", sourcePointsSQL, hours)
}

// TypeHours returns the events of some types in some hours; SourceHours, those of some sources.
func (a *Analytics) TypeHours(ctx context.Context, hours []time.Time, types []string) ([]Point, error) {
	return a.points(ctx, "hours of types", typeHoursSQL, hours, types)
}

// SourceHours is TypeHours by source.
func (a *Analytics) SourceHours(ctx context.Context, hours []time.Time, sources []string) ([]Point, error) {
	return a.points(ctx, "hours of sources", sourceHoursSQL, hours, sources)
}

// FirstTypes returns the day on which each of some types was first there, from since on; FirstSources, each source.
func (a *Analytics) FirstTypes(ctx context.Context, since time.Time, types []string) ([]Point, error) {
	return a.points(ctx, "first days of types", firstTypesSQL, since, types)
}

// FirstSources is FirstTypes by source.
func (a *Analytics) FirstSources(ctx context.Context, since time.Time, sources []string) ([]Point, error) {
	return a.points(ctx, "first days of sources", firstSourcesSQL, since, sources)
}

// maxUserPoints is how many points of users are read at most.
const maxUserPoints = 500_000

// UserPoints returns what each user did in the hours from since to last, of those users who did something on so many
// days, and so much. Where that is too much there is nothing, and isWhole is false.
func (a *Analytics) UserPoints(ctx context.Context, since, last time.Time, events, days int) (points []Point, isWhole bool, err error) {
	points, err = a.points(ctx, "counts of users", userPointsSQL, since, last, events, days, maxUserPoints+1)
	if len(points) > maxUserPoints {
		return nil, false, err
	}
	return points, true, err
}

// TypeKinds returns what is among the events of a type on some days; nothing if that is more than a thousand.
// SourceKinds, those of a source.
func (a *Analytics) TypeKinds(ctx context.Context, days []time.Time, eventType string) ([]EventKind, error) {
	return a.kinds(ctx, typeKindsSQL, days, eventType)
}

// SourceKinds is TypeKinds by source.
func (a *Analytics) SourceKinds(ctx context.Context, days []time.Time, source string) ([]EventKind, error) {
	return a.kinds(ctx, sourceKindsSQL, days, source)
}

func (a *Analytics) kinds(ctx context.Context, sql string, args ...any) ([]EventKind, error) {
	rows, _ := a.conn.Query(ctx, sql, args...) // CollectRows reports the error
	kinds, err := pgx.CollectRows(rows, pgx.RowToStructByPos[EventKind])
	if err != nil {
		return nil, fmt.Errorf("read what is among events: %w", err)
	}
	if len(kinds) > 1000 {
		return nil, nil
	}
	return kinds, nil
}

// DeadPoints returns the dead letters of each topic in [from, to); Kind tells conflicting event ids apart.
func (a *Analytics) DeadPoints(ctx context.Context, from, to time.Time) ([]Point, error) {
	return a.points(ctx, "counts of dead letters", deadPointsSQL, from, to)
}

// AccessPoints returns the events that each principal was shown in [from, to); Kind tells exports apart.
func (a *Analytics) AccessPoints(ctx context.Context, from, to time.Time) ([]Point, error) {
	return a.points(ctx, "counts of the access log", accessPointsSQL, from, to)
}

const evidenceColumns = `event_id::text, event_type, aggregate_type, aggregate_id, CASE jsonb_typeof(metadata -> 'source') WHEN 'string' THEN metadata ->> 'source' END AS source, timestamp`

// maxEvidenceScan is among how many events evidence is looked for.
const maxEvidenceScan = 100_000

// Which events evidence is looked for by.
const (
	OfType   = `event_type = %s`
	OfSource = sourceIs
	OfUser   = userIs
)

// EvidenceOf returns an example of each event type, aggregate type and source among the events of [from, to) that belong
// to a series, 20 at most. which is one of the constants above. There is none where looking for them takes too long.
func (a *Analytics) EvidenceOf(ctx context.Context, which, series string, from, to time.Time) ([]EvidenceEvent, error) {
	c := &conditions{}
	c.add("timestamp >= %s", from)
	c.add("timestamp < %s", to)
	c.add(which, series)
	events, args := (&selection{branches: []string{"true"}, where: c, limit: maxEvidenceScan}).rows("*", nil)
	sql := `SELECT DISTINCT ON (event_type, aggregate_type, metadata ->> 'source') ` + evidenceColumns + ` FROM ` + events + ` AS e
		ORDER BY event_type, aggregate_type, metadata ->> 'source', timestamp, id LIMIT 20`
	rows, _ := a.conn.Query(ctx, sql, append([]any{pgx.QueryExecModeExec}, args...)...) // CollectRows reports the error
	found, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (e EvidenceEvent, err error) {
		var at time.Time
		err = row.Scan(&e.EventID, &e.EventType, &e.AggregateType, &e.AggregateID, &e.Source, &at)
		e.Timestamp = event.FormatTime(utc(at))
		return e, err
	})
	var pg *pgconn.PgError
	if errors.As(err, &pg) && pg.Code == queryCanceled { // by statement_timeout: it would take as long the next time
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read evidence: %w", err)
	}
	return found, nil
}

// DeadLettersOf returns the ids of dead letters of a topic in [from, to), 20 at most.
func (a *Analytics) DeadLettersOf(ctx context.Context, topic string, conflicts bool, from, to time.Time) ([]string, error) {
	rows, _ := a.conn.Query(ctx, `SELECT id::text FROM dead_letters WHERE topic = $1 AND received_at >= $3 AND received_at < $4
		AND (reason = 'event_id_conflict') = $2 ORDER BY id LIMIT 20`, topic, conflicts, from, to)
	ids, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		return nil, fmt.Errorf("read dead letters for evidence: %w", err)
	}
	return ids, nil
}

// AccessOf returns the positions of a principal's entries in [from, to) that showed most, 20 at most.
func (a *Analytics) AccessOf(ctx context.Context, principal string, from, to time.Time) ([]int64, error) {
	rows, _ := a.conn.Query(ctx, `SELECT b.first_position + (l.id & 16383) FROM access_log AS l JOIN ledger_batches AS b ON b.log = 'access' AND b.batch = l.id >> 14
		WHERE l.time >= $2 AND l.time < $3 AND (l.entry ->> 'principal') COLLATE "C" = $1 AND (l.entry ->> 'events')::bigint > 0
		ORDER BY (l.entry ->> 'events')::bigint DESC, 1 LIMIT 20`, principal, from, to)
	positions, err := pgx.CollectRows(rows, pgx.RowTo[int64])
	if err != nil {
		return nil, fmt.Errorf("read access entries for evidence: %w", err)
	}
	return positions, nil
}

// OddVersion is an event whose version does not follow the one before it in its aggregate.
type OddVersion struct {
	Event           EvidenceEvent
	Prior           EvidenceEvent // the one before it
	Version, Before int32
	At              time.Time
}

// maxVersionReads is how many statements look at the versions of some aggregates, at most; maxOddVersions, how many gaps and
// repeats one of them returns.
const maxVersionReads, maxOddVersions = 64, 10_000

// It uses events_aggregate for the aggregates that the facts touch. An aggregate in which more than a fifth of the versions are
// odd, and five at least, does not number its events. Where there are more events than may be read, that is all it says.
const oddVersionsSQL = `
	SELECT whole, event_id, event_type, aggregate_type, aggregate_id, source, timestamp, version, coalesce(before, 0),
		coalesce(prior_id, ''), coalesce(prior_type, ''), aggregate_type, aggregate_id, prior_source, coalesce(prior_timestamp, timestamp) FROM (
		SELECT *, count(*) FILTER (WHERE version <> before + 1) OVER (PARTITION BY aggregate_type, aggregate_id) AS odd FROM (
			SELECT e.*, count(*) OVER (PARTITION BY aggregate_type, aggregate_id) AS read, count(*) OVER () AS whole, row_number() OVER () AS number, lag(version) OVER w AS before,
				lag(event_id) OVER w AS prior_id, lag(event_type) OVER w AS prior_type, lag(source) OVER w AS prior_source, lag(timestamp) OVER w AS prior_timestamp
			FROM %s AS e
			WINDOW w AS (PARTITION BY aggregate_type, aggregate_id ORDER BY version, timestamp, id)) AS v) AS v
	WHERE CASE WHEN whole > %d THEN number = 1 ELSE before IS NOT NULL AND version <> before + 1 AND (odd < 5 OR odd <= read / 5) END
	ORDER BY aggregate_type, aggregate_id, version LIMIT %d`

// OddVersions returns the gaps and repeats in the versions of some aggregates. It reads at most limit events at once, so many
// aggregates are read in parts. passed is how many were not looked at: an aggregate that has more events alone, or those
// that were left after maxVersionReads statements.
func (a *Analytics) OddVersions(ctx context.Context, types, ids []string, limit int) (odd []OddVersion, passed int, err error) {
	reads := 0
	var look func(types, ids []string) error
	look = func(types, ids []string) error {
		if reads++; reads > maxVersionReads {
			passed += len(ids)
			return nil
		}
		part, isWhole, err := a.oddVersions(ctx, types, ids, limit)
		switch half := len(ids) / 2; {
		case err != nil:
			return err
		case isWhole:
			odd = append(odd, part...)
		case half == 0:
			passed++
		default:
			if err := look(types[:half], ids[:half]); err != nil {
				return err
			}
			return look(types[half:], ids[half:])
		}
		return nil
	}
	err = look(types, ids)
	return odd, passed, err
}

// oddVersions is OddVersions in one statement; isWhole is false if there is too much.
func (a *Analytics) oddVersions(ctx context.Context, types, ids []string, limit int) (odd []OddVersion, isWhole bool, err error) {
	those := &selection{branches: []string{"true"}, limit: limit + 1, where: &conditions{
		terms: []string{"(aggregate_type, aggregate_id) IN (SELECT * FROM unnest($1::text[], $2::text[]))"}, args: []any{types, ids},
	}}
	events, args := those.rows(evidenceColumns+", version, id", nil)
	isWhole = true
	rows, _ := a.conn.Query(ctx, fmt.Sprintf(oddVersionsSQL, events, limit, maxOddVersions), args...) // CollectRows reports the error
	odd, err = pgx.CollectRows(rows, func(row pgx.CollectableRow) (o OddVersion, err error) {
		var prior time.Time
		var whole int
		err = row.Scan(&whole, &o.Event.EventID, &o.Event.EventType, &o.Event.AggregateType, &o.Event.AggregateID, &o.Event.Source, &o.At, &o.Version,
			&o.Before, &o.Prior.EventID, &o.Prior.EventType, &o.Prior.AggregateType, &o.Prior.AggregateID, &o.Prior.Source, &prior)
		isWhole = isWhole && whole <= limit
		o.Event.Timestamp, o.Prior.Timestamp = event.FormatTime(utc(o.At)), event.FormatTime(utc(prior))
		return o, err
	})
	if err != nil {
		return nil, false, fmt.Errorf("read versions: %w", err)
	}
	return odd, isWhole && len(odd) < maxOddVersions, nil
}

// FlowEvent is an event of a workflow.
type FlowEvent struct {
	Flow  string // the correlation id
	Event EvidenceEvent
	At    time.Time
}

// It uses the unique index of rollup_events, by unit and start.
const flowsBeginSQL = `SELECT CASE count(*) WHEN 0 THEN $1 ELSE coalesce(min(start) FILTER (WHERE total <= $3), $2) END FROM (
	SELECT start, sum(sum(count)) OVER (ORDER BY start DESC) AS total FROM rollup_events WHERE unit = 'hour' AND start >= $1 AND start < $2 GROUP BY start) AS hours`

// FlowsBegin returns from, or the earliest hour after it from which on there are at most limit events before to; to itself
// if the last hour alone has more.
func (a *Analytics) FlowsBegin(ctx context.Context, from, to time.Time, limit int) (begin time.Time, err error) {
	if err = a.conn.QueryRow(ctx, flowsBeginSQL, from, to, limit).Scan(&begin); err != nil {
		return begin, fmt.Errorf("count the events of workflows: %w", err)
	}
	return utc(begin), nil
}

// Flows returns the events of [from, to) that belong to workflows, workflow by workflow, in order of time: limit of them
// at most. Whole is false if there are more.
func (a *Analytics) Flows(ctx context.Context, from, to time.Time, limit int) (found []FlowEvent, isWhole bool, err error) {
	c := &conditions{terms: []string{"jsonb_typeof(metadata -> 'correlationId') = 'string'"}}
	c.add("timestamp >= %s", from)
	c.add("timestamp < %s", to)
	events, args := (&selection{branches: []string{"true"}, where: c, limit: limit + 1}).rows("metadata ->> 'correlationId' AS k, id, metadata, event_id, event_type, aggregate_type, aggregate_id, timestamp", nil)
	rows, _ := a.conn.Query(ctx, `SELECT k, `+evidenceColumns+` FROM `+events+` AS found ORDER BY k COLLATE "C", timestamp, id`,
		append([]any{pgx.QueryExecModeExec}, args...)...) // CollectRows reports the error
	found, err = pgx.CollectRows(rows, func(row pgx.CollectableRow) (f FlowEvent, err error) {
		err = row.Scan(&f.Flow, &f.Event.EventID, &f.Event.EventType, &f.Event.AggregateType, &f.Event.AggregateID, &f.Event.Source, &f.At)
		f.At = utc(f.At)
		f.Event.Timestamp = event.FormatTime(f.At)
		return f, err
	})
	if err != nil {
		return nil, false, fmt.Errorf("read workflows: %w", err)
	}
	return found, len(found) <= limit, nil
}
