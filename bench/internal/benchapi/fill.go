package benchapi

import (
	"context"
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"audittrail/bench/internal/benchdb"
	"audittrail/bench/internal/benchingest"
	"audittrail/modules/migrate"
	"audittrail/modules/sample"
	"audittrail/modules/store"
	"audittrail/platform/postgres"
)

const (
	// span is the time that the events of a store are spread over.
	span = 365 * 24 * time.Hour

	// MostTemplates is how many different events a store is made of. Each copy of them has aggregates and
	// workflows of its own.
	MostTemplates = 20_000

	// fillAtOnce is how many events one transaction stores: whole batches.
	fillAtOnce = 50_000
)

//go:embed fill.sql
var fillSQL string

// As migration 6 fills event_values.
const eventValuesSQL = `
	INSERT INTO event_values
	SELECT DISTINCT v.field, v.value, e.month
	FROM (SELECT DISTINCT event_type, aggregate_type, metadata ->> 'source' AS source,
	             date_trunc('month', timestamp AT TIME ZONE 'UTC')::date AS month
	      FROM events) AS e,
	     LATERAL (VALUES ('eventType', event_type), ('aggregateType', aggregate_type), ('source', source)) AS v (field, value)
	WHERE v.value IS NOT NULL`

// Store is a store that requests are made to.
type Store struct {
	Name   string // of the database
	URL    string // of that, as its superuser
	Events int64
	first  time.Time     // of its events' timestamps
	step   time.Duration // from one to the next
}

// Fill makes a store of n events, unless the server keeps it from an earlier run.
func Fill(ctx context.Context, server *benchdb.Server, records []sample.Record, n int64, now time.Time) (*Store, error) {
	s := &Store{Name: fmt.Sprintf("events_%d", n), Events: n, step: (span / time.Duration(n)).Truncate(time.Microsecond)}
	var err error
	if s.URL, err = server.Kept(ctx, s.Name); err != nil {
		return nil, err
	}
	if err := migrate.Up(ctx, migrate.Options{URL: s.URL}); err != nil {
		return nil, err
	}
	conn, err := pgx.Connect(ctx, s.URL)
	if err != nil {
		return nil, err
	}
	defer conn.Close(context.WithoutCancel(ctx)) //nolint:errcheck // nothing is lost with it
	var last *time.Time
	if err := conn.QueryRow(ctx, `SELECT max(timestamp) FROM event_keys`).Scan(&last); err != nil {
		return nil, err
	}
	if last != nil {
		s.first = last.UTC().Add(-time.Duration(n-1) * s.step)
		return s, IndexCauses(ctx, s.URL)
	}
	s.first = now.UTC().Add(-span).Truncate(time.Hour)
	if err := s.prepare(ctx, conn, records); err != nil {
		return nil, fmt.Errorf("prepare %s: %w", s.Name, err)
	}
	for from := int64(0); from < n; from += fillAtOnce {
		benchingest.Progress("%s: %d of %d", s.Name, from, n)
		if _, err := conn.Exec(ctx, "SELECT pg_temp.fill($1, $2)", from, min(n, from+fillAtOnce)); err != nil {
			return nil, fmt.Errorf("Fill %s: %w", s.Name, err)
		}
	}
	for _, sql := range []string{
		eventValuesSQL, `SELECT setval('event_batches', (SELECT max(batch) FROM ledger_batches))`,
		"VACUUM (ANALYZE) event_keys", "VACUUM (ANALYZE) ledger_batches", "VACUUM (ANALYZE) event_values", "VACUUM events",
	} {
		if _, err := conn.Exec(ctx, sql); err != nil {
			return nil, fmt.Errorf("finish %s: %w", s.Name, err)
		}
	}
	return s, Upkeep(ctx, s.URL)
}

// prepare makes the partitions, and what Fill.sql reads in tables of the session.
func (s *Store) prepare(ctx context.Context, conn *pgx.Conn, records []sample.Record) error {
	if _, err := conn.Exec(ctx, "SET synchronous_commit = off"); err != nil {
		return err
	}
	if _, err := conn.Exec(ctx, `SELECT ensure_partition('events', m::date) FROM generate_series($1::timestamptz, $2::timestamptz, '1 month') AS m`,
		s.first, s.first.Add(span)); err != nil {
		return err
	}
	records = records[:min(len(records), MostTemplates)]
	if _, err := conn.Exec(ctx, `CREATE TEMP TABLE timeline AS SELECT $1::timestamptz AS first, $2::interval AS step, $3::bigint AS templates`,
		s.first, s.step, len(records)); err != nil {
		return err
	}
	if _, err := conn.Exec(ctx, `CREATE TEMP TABLE template (number bigint PRIMARY KEY, event_type text, aggregate_type text, aggregate_id text, version int, payload jsonb, metadata jsonb)`); err != nil {
		return err
	}
	rows := make([][]any, len(records))
	for i, r := range records {
		var e struct {
			EventType, AggregateType, AggregateID string
			Version                               int32
			Payload, Metadata                     json.RawMessage
		}
		if err := json.Unmarshal(r.Value, &e); err != nil {
			return err
		}
		if e.Metadata == nil {
			e.Metadata = json.RawMessage("{}")
		}
		rows[i] = []any{int64(i), e.EventType, e.AggregateType, e.AggregateID, e.Version, e.Payload, e.Metadata}
	}
	columns := strings.Split("number event_type aggregate_type aggregate_id version payload metadata", " ")
	if _, err := conn.CopyFrom(ctx, pgx.Identifier{"template"}, columns, pgx.CopyFromRows(rows)); err != nil {
		return err
	}
	_, err := conn.Exec(ctx, "ANALYZE template;"+fillSQL, pgx.QueryExecModeSimpleProtocol)
	return err
}

// Upkeep does to each partition of a store what the role maintain does.
func Upkeep(ctx context.Context, url string) error {
	err := eachPartition(ctx, url, func(session *store.Upkeep, _ *pgxpool.Pool, p store.PartitionState) error {
		if p.Bytes == 0 {
			return nil
		}
		if _, err := session.CleanPendingLists(ctx, p.Name); err != nil {
			return err
		}
		if _, err := session.Summarise(ctx, p.Name); err != nil {
			return err
		}
		return session.Analyse(ctx, p.Name)
	})
	if err != nil {
		return err
	}
	return IndexCauses(ctx, url)
}

// IndexCauses makes the indexes by causation id that the role maintain would have made by now.
func IndexCauses(ctx context.Context, url string) error {
	return eachPartition(ctx, url, func(_ *store.Upkeep, owner *pgxpool.Pool, p store.PartitionState) error {
		if !p.WantsByCause(time.Now()) {
			return nil
		}
		return store.BuildByCause(ctx, owner, p.Name)
	})
}

func eachPartition(ctx context.Context, url string, do func(*store.Upkeep, *pgxpool.Pool, store.PartitionState) error) error {
	pool, err := postgres.Open(ctx, postgres.PoolOptions{URL: url, Name: "upkeep", Role: "audittrail_owner", MaxConns: 1})
	if err != nil {
		return err
	}
	defer pool.Close()
	session, ok, err := store.LeadUpkeep(ctx, pool)
	if err != nil {
		return err
	}
	if !ok {
		return errors.New("somebody else looks after the store")
	}
	defer session.Close(context.WithoutCancel(ctx))
	partitions, err := session.Partitions(ctx)
	if err != nil {
		return err
	}
	for _, p := range partitions {
		if err := do(session, pool, p); err != nil {
			return err
		}
	}
	return nil
}
