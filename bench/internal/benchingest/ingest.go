package benchingest

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/jackc/pgx/v5"

	"audittrail/bench/internal/benchdb"
)

// Run is one ingest of a topic that is waiting.
type Run struct {
	Program  string   // what Build made
	Roles    string   // of the process
	Database string   // URL of a database with our tables, which has not seen the topic
	Topic    string   // what Load filled
	Records  int      // that wait in the topic
	Env      []string // of the process, beside this one's own
	Stored   int64    // events that come of them

	// Counted says that the process keeps the rollups too, and has them counted to the end after the clock has stopped.
	Counted bool

	// Observe, if not nil, is called when the clock has started, with the address of the process's
	// operators' port, which then has profiles; finish is called before the process is stopped.
	Observe func(admin string) (finish func() error)
}

// Reading is what a run took. CPU times are user and system time in seconds while the clock ran; 0 where
// they can't be read.
type Reading struct {
	Records   int
	Seconds   float64
	Startup   float64 // seconds from the start of the process until it has its partitions
	CPU       float64 // of the ingest process
	ServerCPU float64 // of all of PostgreSQL's processes
	KafkaCPU  float64 // of the broker
	PeakBytes int64   // resident memory of the ingest process
	Stored    int64   // events

	// How far the rollups were behind, if they are kept: the longest time since what they had counted to was the end of the
	// log, and how long they took for the rest after the clock had stopped.
	Behind, CaughtUp float64
}

// Ingest runs the program as a process of its own. The clock starts when it has been given its
// partitions, before it fetches anything, and stops when every record is accounted for and no index
// owes work.
func (s *Stage) Ingest(ctx context.Context, r Run) (got Reading, err error) {
	conn, err := pgx.Connect(ctx, r.Database)
	if err != nil {
		return got, err
	}
	defer func() { err = errors.Join(err, conn.Close(context.WithoutCancel(ctx))) }()
	if err := s.Server.Settle(ctx); err != nil {
		return got, err
	}
	server := Postmaster(conn)
	var before int64
	if err := conn.QueryRow(ctx, lastID).Scan(&before); err != nil {
		return got, err
	}

	launched := time.Now()
	p, err := s.Serve(ctx, r.Program, r.Env, append(s.Kafka(r.Topic), "--roles", r.Roles, "--postgres.url", r.Database,
		"--admin.pprof="+strconv.FormatBool(r.Observe != nil))...)
	if err != nil {
		return got, err
	}
	defer func() { err = errors.Join(err, p.Stop()) }()
	if err := p.Await(ctx, conn, int64(s.opts.Partitions), 10*time.Minute, 5*time.Millisecond, assigned, r.Topic); err != nil {
		return got, err
	}
	began, cpu, serverCPU, kafkaCPU := time.Now(), CPUTime(p.PID), FamilyTime(server), CPUTime(s.Broker.pid)
	if r.Observe != nil {
		finish := r.Observe(p.Admin)
		defer func() { err = errors.Join(err, finish()) }()
	}
	var rollups *follower
	if r.Counted {
		if rollups, err = follow(ctx, r.Database); err != nil {
			return got, err
		}
		defer rollups.cancel()
	}
	if err := p.Await(ctx, conn, int64(r.Records), 10*time.Minute, 20*time.Millisecond, accounted, r.Topic); err != nil {
		return got, err
	}
	if err := benchdb.CleanPendingLists(ctx, conn); err != nil {
		return got, err
	}
	got = Reading{
		Records: r.Records, Seconds: time.Since(began).Seconds(), Startup: began.Sub(launched).Seconds(),
		CPU: CPUTime(p.PID) - cpu, ServerCPU: FamilyTime(server) - serverCPU,
		KafkaCPU: CPUTime(s.Broker.pid) - kafkaCPU, PeakBytes: PeakMemory(p.PID),
	}
	if r.Counted {
		ended := time.Now()
		if err := p.Await(ctx, conn, r.Stored, 10*time.Minute, 20*time.Millisecond, counted); err != nil {
			return got, err
		}
		got.CaughtUp = time.Since(ended).Seconds()
		if got.Behind, err = rollups.behind(); err != nil {
			return got, err
		}
	}
	if err := conn.QueryRow(ctx, "SELECT count(*) FROM events WHERE id > $1", before).Scan(&got.Stored); err != nil {
		return got, err
	}
	if got.Stored != r.Stored {
		return got, fmt.Errorf("%d events are stored, not %d", got.Stored, r.Stored)
	}
	return got, nil
}

// Questions that the clock asks, the first two of a topic. The table of offsets has one row a partition.
const (
	assigned  = "SELECT count(*) FROM ingest_offsets WHERE topic = $1"
	accounted = "SELECT coalesce(sum(next_offset - first_offset), 0)::bigint FROM ingest_offsets WHERE topic = $1"
	counted   = "SELECT coalesce(min(position), 0) FROM analytics_cursors WHERE name = 'counts'"
	stored    = "SELECT coalesce(max(first_position + count), 0) FROM ledger_batches WHERE log = 'events'"
)

// lastID is the highest id of the events before a run. Ids grow from batch to batch.
const lastID = "SELECT coalesce(max(batch), 0) << 14 | 16383 FROM ledger_batches WHERE log = 'events'"
