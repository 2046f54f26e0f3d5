package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"sync"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"audittrail/bench/internal/benchdb"
	"audittrail/modules/event"
	"audittrail/modules/ledger"
	"audittrail/modules/migrate"
	"audittrail/modules/store"
)

// appendArgument is how this program is called to append: with a database's URL and a number of events.
const appendArgument = "append"

// writers and batchEvents are ingest's defaults for two cores.
const (
	writers     = 2
	batchEvents = 4000
)

// appended is what one append of all events took.
type appended struct {
	Seconds   float64 `json:"seconds"`   // until the index owes no work
	GoCPU     float64 `json:"goCpu"`     // seconds of this program, from the first append to the last
	ServerCPU float64 `json:"serverCpu"` // seconds of all of PostgreSQL's processes, in the same time and until the index owes no work
}

func (a appended) rate(events int) float64 { return float64(events) / a.Seconds }

// measureAppend appends all events to an empty database with one of the two programs.
func measureAppend(ctx context.Context, server *benchdb.Server, programs map[bool]string, hashed bool, events int) (a appended, err error) {
	url, drop, err := prepared(ctx, server, hashed)
	if err != nil {
		return a, err
	}
	defer func() { err = errors.Join(err, drop()) }()
	return appendBy(ctx, programs[hashed], url, events)
}

// prepared makes a database with our tables. Without hashing there are no leaves, which the table refuses.
func prepared(ctx context.Context, server *benchdb.Server, hashed bool) (url string, drop func() error, err error) {
	url, drop, err = server.Fresh(ctx)
	if err != nil {
		return "", nil, err
	}
	err = migrate.Up(ctx, migrate.Options{URL: url})
	if err == nil && !hashed {
		err = execute(ctx, url, `ALTER TABLE ledger_batches DROP CONSTRAINT ledger_batches_check`)
	}
	if err == nil {
		err = server.Settle(ctx)
	}
	if err != nil {
		return "", nil, errors.Join(err, drop())
	}
	return url, drop, nil
}

func execute(ctx context.Context, url, sql string) error {
	conn, err := pgx.Connect(ctx, url)
	if err != nil {
		return err
	}
	_, err = conn.Exec(ctx, sql)
	return errors.Join(err, conn.Close(context.WithoutCancel(ctx)))
}

// appendBy lets a program append, and does the index work that is owed then.
func appendBy(ctx context.Context, program, url string, events int) (a appended, err error) {
	conn, err := pgx.Connect(ctx, url)
	if err != nil {
		return a, err
	}
	defer func() { err = errors.Join(err, conn.Close(context.WithoutCancel(ctx))) }()
	before := serverCPU(ctx, conn)
	child := exec.CommandContext(ctx, program, appendArgument, url, strconv.Itoa(events))
	child.Stderr = os.Stderr
	out, err := child.Output()
	if err != nil {
		return a, fmt.Errorf("append: %w", err)
	}
	if err := json.Unmarshal(out, &a); err != nil {
		return a, fmt.Errorf("append: %w", err)
	}
	began := time.Now()
	if err := benchdb.CleanPendingLists(ctx, conn); err != nil {
		return a, err
	}
	a.Seconds += time.Since(began).Seconds()
	a.ServerCPU = serverCPU(ctx, conn) - before
	var stored int
	if err := conn.QueryRow(ctx, `SELECT count(*) FROM events`).Scan(&stored); err != nil {
		return a, err
	}
	if stored != events {
		return a, fmt.Errorf("%d events are stored, not %d", stored, events)
	}
	return a, nil
}

// appendAsChild is what the program does when it is called to append: the events are decoded before the
// clock starts, since that is the same with and without a ledger.
func appendAsChild(ctx context.Context, url, count string) error {
	events, err := strconv.Atoi(count)
	if err != nil {
		return err
	}
	parts, err := decoded(events)
	if err != nil {
		return err
	}
	config, err := pgxpool.ParseConfig(url)
	if err != nil {
		return err
	}
	config.ConnConfig.RuntimeParams["role"] = "audittrail_ingest"
	pool, err := pgxpool.NewWithConfig(ctx, config)
	if err != nil {
		return err
	}
	defer pool.Close()
	appender := store.NewAppender(store.AppenderOptions{Pool: pool})
	var starts []store.PartitionStart
	for n := range writers {
		starts = append(starts, store.PartitionStart{Partition: partition(n)})
	}
	if _, err := appender.EnsureOffsets(ctx, starts); err != nil {
		return err
	}
	began, cpu := time.Now(), ownCPU()
	var group sync.WaitGroup
	errs := make([]error, writers)
	for n, list := range parts {
		group.Go(func() { errs[n] = appendAll(ctx, appender, n, list) })
	}
	group.Wait()
	if err := errors.Join(errs...); err != nil {
		return err
	}
	return json.NewEncoder(os.Stdout).Encode(appended{Seconds: time.Since(began).Seconds(), GoCPU: ownCPU() - cpu})
}

func partition(n int) store.Partition {
	return store.Partition{TopicID: event.TopicID{1}, Topic: "orders", Number: int32(n)}
}

func appendAll(ctx context.Context, appender *store.Appender, n int, events []event.Valid) error {
	for from := 0; from < len(events); from += batchEvents {
		to := min(from+batchEvents, len(events))
		batch := store.Batch{
			Ranges: []store.Range{{Partition: partition(n), From: int64(from), To: int64(to)}},
			Events: events[from:to],
		}
		if _, err := appender.Append(ctx, batch); err != nil {
			return err
		}
	}
	return nil
}

// decoded makes the events, a part for each writer.
func decoded(n int) ([writers][]event.Valid, error) {
	var parts [writers][]event.Valid
	rules := event.Rules{MaxDepth: 64, MaxRecordBytes: 1 << 20, MaxFuture: 24 * time.Hour}
	for i, record := range benchdb.Orders(n) {
		part := i % writers
		raw := event.Raw{Value: record.Value, Key: record.Key, Coordinates: event.Coordinates{
			TopicID: event.TopicID{1}, Topic: "orders", Partition: int32(part), Offset: int64(len(parts[part])),
		}}
		found, rejected := event.Decode(raw)
		if rejected != nil {
			return parts, errors.New(rejected.Detail)
		}
		valid, rejected := found.Validate(rules, time.Now())
		if rejected != nil {
			return parts, errors.New(rejected.Detail)
		}
		parts[part] = append(parts[part], valid)
	}
	return parts, nil
}

// measureLeaves is what computing one leaf takes by itself, in microseconds of one core.
func measureLeaves(events int) float64 {
	parts, err := decoded(min(events, 50_000))
	if err != nil {
		return 0
	}
	var s event.Stored
	began := time.Now()
	n := 0
	for _, list := range parts {
		for i := range list {
			s.Event, s.Kafka, s.RecordedAt = *list[i].Event(), list[i].Raw().Coordinates, began
			s.Salt[0]++
			s.Salt[1] = ledger.EventLeaf(&s)[0]
			n++
		}
	}
	return float64(time.Since(began).Microseconds()) / float64(n)
}

func ownCPU() float64 {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano()).Seconds()
}
