// Package verify recomputes the whole ledger from the rows of the event store, and names what does not
// fit: events that were altered, removed, inserted or moved, keys, leaves, tiles and checkpoints that
// were edited, a history that was exchanged for another. It stands behind `audittrail verify --database`.
//
// It trusts nothing that the tables hold but what a given key has signed; that the server reads them by
// PostgreSQL's own functions it does trust, and reports what in the catalogue stands against it. A leaf is
// computed from its row; the root at every signed size from the leaves; the keys of events and the
// accounting, which no signature covers, are compared with the rows. Where something does not fit, other
// places of the database mostly still tell which event it was (naming.go).
//
// It only reads, through package store, in one snapshot that several workers share. SQL belongs there.
package verify

import (
	"context"
	"fmt"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"

	"audittrail/modules/event"
	"audittrail/modules/ledger"
	"audittrail/modules/store/audit"
)

// Options are what a verification needs.
type Options struct {
	// Connect opens a connection that may read all tables, to a database whose schema is ours.
	Connect func(context.Context) (*pgx.Conn, error)
	// Keys are whose signatures count. For rotated keys, give all: one good signature of a checkpoint is
	// enough.
	Keys ledger.Keys
	// Outside are checkpoints that were kept outside of the database. Only they tell that the whole
	// database was put back to an earlier state.
	Outside []Outside
	// Origin is the ledger's own name (ledger.origin), as the notary remembers it outside of the database;
	// "" where that is not known.
	Origin string
	// MaxUnsigned is how much time the entries that are not signed yet may span; DefaultMaxUnsigned where it is 0.
	MaxUnsigned time.Duration
	// Workers is how many connections read at once; as many as there are cores where it is 0. Each is one
	// of ours and one of the server's.
	Workers int
	// Findings is how many findings are listed of each kind; 100 where it is 0. All are counted.
	Findings int
	// Progress, if not nil, is told what is being done. It is called by several goroutines.
	Progress func(Progress)
}

// Outside is a checkpoint that was kept outside of the database.
type Outside struct {
	Source string // for people, as "the notary's state file"
	Note   []byte // signed

	// Previous is the size of the checkpoint before it, which the database kept by then; 0 where there is none,
	// or it is not known.
	Previous int64
}

// run is one verification.
type run struct {
	opts     Options
	snapshot *audit.Snapshot
	origin   string // the ledger that the database has to be of; "" where nothing tells
	outside  map[ledger.Log][]outside
	blocks   *blocks
	findings *findings
	progress progress

	uncovered []audit.Stretch // of time, that no partition holds

	rowPages, keyPages []*pages

	failed           atomic.Int64 // rows that can't be read
	blind, blindKeys atomic.Bool  // some rows, some keys could not be looked at
	scanned, looked  bool         // all rows and keys were counted; what differs was looked at closer

	mu         sync.Mutex
	loose      []audit.EventRow // rows that the ledger has no place for; looseKept at most
	looseCount int64
	lostTimes  []int64           // of uncovered[i]: how many keys' events lie in it
	unreadKeys map[event.ID]bool // of keys that can't be read
	accounting *audit.Reconciliation
	heads      map[ledger.Log]*head
	notices    []Notice
}

// Run verifies. What it finds is in the Report. It returns an error only where it could not go on, as when
// the connection is lost or ctx ends: the Report then has what was found so far, or is nil where nothing
// was looked at yet. What the database holds is never an error.
func Run(ctx context.Context, opts Options) (*Report, error) {
	if opts.Workers <= 0 {
		opts.Workers = runtime.GOMAXPROCS(0)
	}
	if opts.Findings <= 0 {
		opts.Findings = 100
	}
	if opts.MaxUnsigned <= 0 {
		opts.MaxUnsigned = DefaultMaxUnsigned
	}
	began := time.Now()
	r := &run{opts: opts, blocks: newBlocks(), findings: newFindings(opts.Findings), heads: map[ledger.Log]*head{}, unreadKeys: map[event.ID]bool{}}
	for _, log := range ledger.Logs() {
		r.heads[log] = newHead()
	}
	r.progress.tell = opts.Progress
	r.progress.began = began
	r.openOutside()
	if err := r.decideOrigin(); err != nil {
		return nil, err
	}
	snapshot, err := audit.OpenSnapshot(ctx, opts.Workers, opts.Connect)
	if err != nil {
		return nil, err
	}
	r.snapshot = snapshot
	err = r.run(ctx)
	_ = snapshot.Close() // nothing was written
	if !r.looked {
		r.tellUnlooked()
	}
	r.tellRest()
	report := r.report(err == nil)
	report.Seconds = time.Since(began).Seconds()
	return report, err
}

func (r *run) run(ctx context.Context) error {
	tasks, err := r.plan(ctx)
	if err != nil {
		return err
	}
	if err := r.work(ctx, "recomputing the log", tasks); err != nil {
		return err
	}
	r.scanned = true
	return r.lookCloser(ctx)
}

// task is a piece of work for whichever worker is free.
type task func(context.Context, *audit.View) error

// plan lists the work: what can't be divided first, so that nobody waits for it in the end.
func (r *run) plan(ctx context.Context) ([]task, error) {
	view := r.snapshot.Views()[0]
	tables, err := r.schema(ctx, view)
	if err != nil {
		return nil, err
	}
	if err := r.checkReplica(ctx, view); err != nil {
		return nil, err
	}
	var tasks []task
	for _, log := range ledger.Logs() {
		tasks = append(tasks, func(ctx context.Context, v *audit.View) error {
			return r.walk(ctx, v, log, r.heads[log])
		})
	}
	tasks = append(tasks, r.strays)
	tasks = append(tasks, func(ctx context.Context, v *audit.View) (err error) {
		r.accounting, err = v.Reconcile(ctx)
		return err
	})
	keys, err := view.KeyPages(ctx)
	if err := r.unread(err, Finding{Kind: SchemaAltered, Log: ledger.Events, Detail: "event_keys can't be read"}); err != nil {
		return nil, err
	}
	r.uncovered = audit.Uncovered(tables)
	r.lostTimes = make([]int64, len(r.uncovered))
	for _, p := range audit.EventPages(tables) {
		r.rowPages = append(r.rowPages, &pages{Pages: p})
	}
	for _, p := range keys {
		r.keyPages = append(r.keyPages, &pages{Pages: p})
	}
	for _, p := range r.rowPages {
		tasks = append(tasks, func(ctx context.Context, v *audit.View) error { return r.scanRows(ctx, v, p) })
	}
	for _, p := range r.keyPages {
		tasks = append(tasks, func(ctx context.Context, v *audit.View) error { return r.scanKeys(ctx, v, p) })
	}
	return tasks, nil
}

// work does the tasks with one worker for each view, until all are done or one failed.
func (r *run) work(ctx context.Context, phase string, tasks []task) error {
	r.progress.begin(phase, int64(len(tasks)))
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	queue := make(chan task, len(tasks))
	for _, t := range tasks {
		queue <- t
	}
	close(queue)
	var group sync.WaitGroup
	for _, view := range r.snapshot.Views() {
		group.Go(func() {
			for t := range queue {
				if ctx.Err() != nil {
					return
				}
				if err := t(ctx, view); err != nil {
					cancel(err)
					return
				}
				r.progress.taskDone()
			}
		})
	}
	group.Wait()
	if err := context.Cause(ctx); err != nil {
		return fmt.Errorf("verify: %w", err)
	}
	return nil
}

// tellRest reports what needs no look at the database.
func (r *run) tellRest() {
	r.lostPartitions()
	for _, log := range ledger.Logs() {
		r.tellHead(log, r.heads[log])
	}
	if r.accounting == nil {
		return
	}
	for i := range r.accounting.Discrepancies {
		r.findings.add(accountingFinding(&r.accounting.Discrepancies[i]))
	}
	r.findings.count(Accounting, r.accounting.Unlisted)
}

// report puts together what was found.
func (r *run) report(complete bool) *Report {
	report := &Report{Complete: complete, Origin: r.origin, Events: r.progress.rows.Load(), Workers: r.opts.Workers, Notices: r.notices}
	for _, log := range ledger.Logs() {
		report.OutsideCheckpoints += len(r.outside[log])
		for _, o := range r.outside[log] {
			if !slices.Contains(report.Outside, o.source) {
				report.Outside = append(report.Outside, o.source)
			}
		}
		h := r.heads[log]
		l := LogReport{Log: log, Size: h.total, Signed: h.proven, NotYetSigned: h.total - h.proven, Checkpoints: h.checkpoints, Complete: h.done}
		if !h.unsignedSince.IsZero() {
			l.UnsignedSince = event.FormatTime(h.unsignedSince)
		}
		report.Logs = append(report.Logs, l)
	}
	report.Findings, report.Counts, report.Total = r.findings.all()
	report.Intact = complete && report.Total == 0 && !report.NotSigned()
	return report
}
