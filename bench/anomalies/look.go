package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"audittrail/bench/internal/benchdb"
	"audittrail/bench/internal/benchingest"
	"audittrail/modules/analytics"
	"audittrail/modules/event"
	"audittrail/modules/migrate"
	"audittrail/modules/protect/protecttest"
	"audittrail/modules/store"
)

// finding is an anomaly that was found.
type finding struct {
	kind, subject, detail string
	at                    time.Time
}

// storage is the database that a scene is looked at in.
type storage struct {
	conn     *pgx.Conn
	appender *store.Appender
	now      atomic.Int64 // what the appender and the role take for the time, in microseconds
	offset   int64
	pools    []*pgxpool.Pool
}

func (s *storage) time() time.Time { return time.UnixMicro(s.now.Load()).UTC() }

var partition = store.Partition{TopicID: event.TopicID{1}, Topic: "orders"}

// look stores a scene in a database of its own, lets the role look at its days hour by hour, and returns what it found.
func look(ctx context.Context, server *benchdb.Server, o options, scene *scene) (_ []finding, err error) {
	url, drop, err := server.Fresh(ctx)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, drop()) }()
	if err := migrate.Up(ctx, migrate.Options{URL: url}); err != nil {
		return nil, err
	}
	s := &storage{}
	if s.conn, err = pgx.Connect(ctx, url); err != nil {
		return nil, err
	}
	defer s.conn.Close(context.WithoutCancel(ctx)) //nolint:errcheck // what was asked for was answered
	defer func() {
		for _, pool := range s.pools {
			pool.Close()
		}
	}()
	began := time.Now()
	if err := s.fill(ctx, url, scene); err != nil {
		return nil, err
	}
	benchingest.Progress("%d events stored in %.0f s", len(scene.events), time.Since(began).Seconds())
	began = time.Now()
	if err := s.watch(ctx, url, o, scene); err != nil {
		return nil, err
	}
	benchingest.Progress("%d days looked at in %.0f s", o.days, time.Since(began).Seconds())
	rows, _ := s.conn.Query(ctx, `SELECT kind, subject, detail, started_at FROM anomalies ORDER BY started_at, id`)
	return pgx.CollectRows(rows, func(row pgx.CollectableRow) (f finding, err error) {
		err = row.Scan(&f.kind, &f.subject, &f.detail, &f.at)
		return f, err
	})
}

func (s *storage) open(ctx context.Context, url, role string) (*pgxpool.Pool, error) {
	config, err := pgxpool.ParseConfig(url)
	if err != nil {
		return nil, err
	}
	config.MaxConns = 4
	params := config.ConnConfig.RuntimeParams
	params["role"], params["jit"], params["max_parallel_workers_per_gather"] = role, "off", "0"
	pool, err := pgxpool.NewWithConfig(ctx, config)
	if err == nil {
		s.pools = append(s.pools, pool)
	}
	return pool, err
}

// batchEvents is how many events are stored at once.
const batchEvents = 8000

// fill stores everything, in the order in which it happened.
func (s *storage) fill(ctx context.Context, url string, scene *scene) error {
	pool, err := s.open(ctx, url, "audittrail_ingest")
	if err != nil {
		return err
	}
	s.appender = store.NewAppender(store.AppenderOptions{Pool: pool, Now: s.time})
	if _, err := s.appender.EnsureOffsets(ctx, []store.PartitionStart{{Partition: partition}}); err != nil {
		return err
	}
	events := slices.SortedStableFunc(slices.Values(scene.events), func(a, b *record) int { return cmp.Or(a.at.Compare(b.at), cmp.Compare(a.Version, b.Version)) })
	for part := range slices.Chunk(events, batchEvents) {
		values := make([][]byte, len(part))
		for i, r := range part {
			if values[i], err = json.Marshal(r); err != nil {
				return err
			}
		}
		if err := s.append(ctx, part[len(part)-1].at, values); err != nil {
			return err
		}
	}
	if err := s.fillLetters(ctx, scene); err != nil {
		return err
	}
	if err := s.fillReadings(ctx, url, scene); err != nil {
		return err
	}
	_, err = s.conn.Exec(ctx, "ANALYZE")
	return err
}

func (s *storage) append(ctx context.Context, at time.Time, values [][]byte) error {
	s.now.Store(at.UnixMicro())
	b := store.Batch{Ranges: []store.Range{{Partition: partition, From: s.offset, To: s.offset + int64(len(values)), LeaderEpoch: -1}}}
	for i, value := range values {
		decoded, rejected := event.Decode(event.Raw{
			Coordinates: event.Coordinates{TopicID: partition.TopicID, Topic: partition.Topic, Offset: s.offset + int64(i)}, Value: value,
		})
		if rejected != nil {
			b.Rejected = append(b.Rejected, *rejected)
			continue
		}
		valid, rejected := decoded.Validate(event.DefaultRules(), at.AddDate(1, 0, 0))
		if rejected != nil {
			return fmt.Errorf("an event of the scene is refused: %s: %s", rejected.Field, rejected.Detail)
		}
		b.Events = append(b.Events, protecttest.Seal(valid))
	}
	_, err := s.appender.Append(ctx, b)
	s.offset += int64(len(values))
	return err
}

// fillLetters stores what becomes dead letters, hour by hour.
func (s *storage) fillLetters(ctx context.Context, scene *scene) error {
	byHour := map[time.Time][][]byte{}
	for _, l := range scene.letters {
		value := []byte("nonsense")
		if l.conflictOf != "" {
			r := record{ID: l.conflictOf, Type: "Forged", AggregateType: "Made", AggregateID: "forged", Version: 1, Payload: map[string]any{}, Metadata: map[string]any{}}
			r.move(l.at)
			var err error
			if value, err = json.Marshal(&r); err != nil {
				return err
			}
		}
		hour := l.at.Truncate(time.Hour)
		byHour[hour] = append(byHour[hour], value)
	}
	for hour, values := range byHour {
		if err := s.append(ctx, hour.Add(30*time.Minute), values); err != nil {
			return err
		}
	}
	return nil
}

// fillReadings writes the access log, as far as the detectors read it.
func (s *storage) fillReadings(ctx context.Context, url string, scene *scene) error {
	pool, err := s.open(ctx, url, "audittrail_api")
	if err != nil {
		return err
	}
	log := store.NewAccessLog(pool)
	for part := range slices.Chunk(scene.readings, batchEvents) {
		entries := make([]store.AccessEntry, len(part))
		for i, r := range part {
			text, err := json.Marshal(map[string]any{"principal": r.principal, "phase": "request", "route": r.route, "events": r.events})
			if err != nil {
				return err
			}
			entries[i] = store.AccessEntry{Time: r.at, Canonical: text}
		}
		if err := log.Append(ctx, entries); err != nil {
			return err
		}
	}
	_, err = s.conn.Exec(ctx, `SELECT number_pending('access')`)
	return err
}

// watch lets the role count everything and look at the scene's days, with the time moving on by o.step.
func (s *storage) watch(ctx context.Context, url string, o options, scene *scene) error {
	pool, err := s.open(ctx, url, "audittrail_analytics")
	if err != nil {
		return err
	}
	s.now.Store(scene.from.UnixMicro())
	if _, err := s.conn.Exec(ctx, `INSERT INTO analytics_cursors (name, position, form) VALUES ('anomalies', $1, 1)`, scene.from.Unix()/3600); err != nil {
		return err
	}
	role, err := analytics.New(analytics.Dependencies{
		Pool: pool, Interval: time.Millisecond, DetectEvery: time.Millisecond, Options: analytics.Options{Sensitivity: o.sensitivity}, Now: s.time, Log: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		return err
	}
	running, cancel := context.WithCancel(ctx)
	ended := make(chan error, 1)
	go func() { ended <- role.Run(running, func() {}) }()
	defer func() {
		cancel()
		<-ended //nolint:errcheck // the role ends without an error when it is stopped
	}()
	if err := s.reach(ctx, `SELECT CASE count(*) WHEN 2 THEN min(position) END FROM analytics_cursors WHERE name IN ('counts', 'versions')`, s.head(ctx)); err != nil {
		return err
	}
	for now := scene.from.Add(o.step); !now.After(scene.to); now = now.Add(o.step) {
		s.now.Store(now.Add(6 * time.Minute).UnixMicro())
		if err := s.reach(ctx, `SELECT position FROM analytics_cursors WHERE name = 'anomalies'`, now.Unix()/3600); err != nil {
			return err
		}
	}
	return nil
}

func (s *storage) head(ctx context.Context) (n int64) {
	_ = s.conn.QueryRow(ctx, `SELECT max(first_position + count) FROM ledger_batches WHERE log = 'events'`).Scan(&n) // 0 ends the wait at once, and nothing is found
	return n
}

// reach waits until a query's answer is a number.
func (s *storage) reach(ctx context.Context, sql string, want int64) error {
	ctx, cancel := context.WithTimeoutCause(ctx, 10*time.Minute, errors.New("the role makes no progress: "+sql))
	defer cancel()
	again := time.NewTicker(5 * time.Millisecond)
	defer again.Stop()
	for {
		var at *int64
		if err := s.conn.QueryRow(ctx, sql).Scan(&at); err != nil {
			return err
		}
		if at != nil && *at >= want {
			return nil
		}
		select {
		case <-again.C:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}
