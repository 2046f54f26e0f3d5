// Package verify recomputes the whole ledger from the rows of the event store and reports what does not
// fit: events that were altered, removed, inserted or moved; keys, leaves, tiles and checkpoints that were
// edited; a history that was replaced by another one. It implements `audittrail verify --database`.
//
// It trusts only what a given key has signed. It also relies on the server to read tables with
// PostgreSQL's own functions, and reports what the catalogue says against that. The leaf of each event is
// computed from its row, and the root at each signed size from the leaves. No signature covers event keys
// and the accounting, so they are compared with the rows.
//
// It only reads, through package audit, in one snapshot that several workers share. All SQL belongs there.
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

// Options configure a verification.
type Options struct {
	// Connect opens a connection that may read all tables of a database with the current schema.
	Connect func(context.Context) (*pgx.Conn, error)
	// Keys are the keys to trust. After a rotation, give old and new ones: one valid signature makes a
	// checkpoint trusted.
	Keys ledger.Keys
	// Outside are checkpoints that were kept outside the database. Only they show that the whole database
	// was restored to an earlier state.
	Outside []Outside
	// Origin is the ledger's name (ledger.origin) as the notary's state file has it, or "" if that is unknown.
	Origin string
	// MaxUnsigned is how much time the unsigned entries may span; 0 means DefaultMaxUnsigned.
	MaxUnsigned time.Duration
	// Workers is how many connections read at once; 0 means one per core.
	Workers int
	// Findings is how many findings of each kind are listed; 0 means 100. All are counted.
	Findings int
	// Progress, if not nil, is updated while the verification runs.
	Progress *Progress
}

// Progress counts what a verification has done so far. It may be read at any time.
type Progress struct {
	Events      atomic.Int64 // rows read and hashed
	Done, Tasks atomic.Int64 // pieces of work, most of them of one size; Tasks grows if differences are found
}

// Outside is a checkpoint that was kept outside the database.
type Outside struct {
	Source string // for people, for example "the notary's state file"
	Note   []byte // signed

	// Previous is the size of the checkpoint before it, which was in the database at that time. It is 0 if
	// there was none, or if it is unknown.
	Previous int64
}

// run is one verification.
type run struct {
	opts     Options
	snapshot *audit.Snapshot
	origin   string // the ledger that the database must belong to; "" if unknown
	outside  map[ledger.Log][]outside
	blocks   map[ledger.Log]*blocks
	extents  map[ledger.Log]*extent
	findings *findings
	progress *Progress

	partitions []audit.Partition // of events
	pages      []*pages          // of all rows and keys

	failed           atomic.Int64 // rows that could not be read
	blind, blindKeys atomic.Bool  // some rows, or some keys, could not be examined
	unreadKeys       sync.Map     // events whose keys can't be read, by event.ID
	scanned, looked  bool         // all rows and keys were summed; the differences were examined

	accounting *audit.Reconciliation
	notices    []Notice
}

// Run verifies an event store. What it finds is in the Report, and never an error. Run returns an error only
// if it could not finish, for example because the connection was lost or ctx ended. The Report then holds
// what was found until then, or is nil if nothing was examined yet.
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
	if opts.Progress == nil {
		opts.Progress = &Progress{}
	}
	began := time.Now()
	r := &run{opts: opts, progress: opts.Progress, findings: newFindings(opts.Findings), blocks: map[ledger.Log]*blocks{}, extents: map[ledger.Log]*extent{}}
	for _, log := range ledger.Logs() {
		r.blocks[log], r.extents[log] = newBlocks(), &extent{log: log, seen: map[string]int64{}, unknown: map[string]*sizes{}}
	}
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
	if r.scanned && !r.looked {
		for log, blocks := range r.blocks {
			_, differing := blocks.differing(-1)
			r.reportBlocks(log, differing)
		}
	}
	r.reportCollected()
	report := r.report(err == nil)
	report.Seconds = time.Since(began).Seconds()
	return report, err
}

func (r *run) run(ctx context.Context) error {
	tasks, err := r.plan(ctx)
	if err != nil {
		return err
	}
	if err := r.work(ctx, tasks); err != nil {
		return err
	}
	r.scanned = true
	if err := r.countRows(ctx); err != nil {
		return err
	}
	return r.lookCloser(ctx)
}

// task is a piece of work for any free worker.
type task func(context.Context, *audit.View) error

// plan returns all tasks. Those that can't be divided come first, so that no worker waits for them at the end.
func (r *run) plan(ctx context.Context) ([]task, error) {
	view := r.snapshot.Views()[0]
	list, err := r.schema(ctx, view)
	if err != nil {
		return nil, err
	}
	if err := r.checkReplica(ctx, view); err != nil {
		return nil, err
	}
	keys, err := view.KeyPages(ctx)
	if err := r.unread(err, Finding{Kind: SchemaAltered, Log: ledger.Events, Detail: "event_keys can't be read"}); err != nil {
		return nil, err
	}
	var tasks []task
	for _, e := range r.extents {
		tasks = append(tasks, func(ctx context.Context, v *audit.View) error { return r.walk(ctx, v, e) })
	}
	tasks = append(tasks, func(ctx context.Context, v *audit.View) (err error) {
		r.accounting, err = v.Reconcile(ctx)
		return err
	})
	for _, p := range append(list, keys...) {
		some := &pages{Pages: p}
		r.pages = append(r.pages, some)
		tasks = append(tasks, func(ctx context.Context, v *audit.View) error { return r.scan(ctx, v, some) })
	}
	return tasks, nil
}

// work runs the tasks, with one worker per view, until all are done or one has failed.
func (r *run) work(ctx context.Context, tasks []task) error {
	r.progress.Tasks.Add(int64(len(tasks)))
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
				r.progress.Done.Add(1)
			}
		})
	}
	group.Wait()
	if err := context.Cause(ctx); err != nil {
		return fmt.Errorf("verify: %w", err)
	}
	return nil
}

// reportCollected reports what the tasks have collected.
func (r *run) reportCollected() {
	for _, log := range ledger.Logs() {
		r.reportExtent(r.extents[log])
	}
	if r.accounting == nil {
		return
	}
	for i := range r.accounting.Discrepancies {
		r.findings.add(accountingFinding(&r.accounting.Discrepancies[i]))
	}
	r.findings.count(Accounting, r.accounting.Unlisted)
}

// report returns the Report of all that was found.
func (r *run) report(complete bool) *Report {
	report := &Report{Complete: complete, Origin: r.origin, Events: r.progress.Events.Load(), Workers: r.opts.Workers, Notices: r.notices}
	for _, log := range ledger.Logs() {
		report.OutsideCheckpoints += len(r.outside[log])
		for _, o := range r.outside[log] {
			if !slices.Contains(report.Outside, o.source) {
				report.Outside = append(report.Outside, o.source)
			}
		}
		e := r.extents[log]
		l := LogReport{Log: log, Size: e.total, Signed: e.proven, NotYetSigned: e.total - e.proven, Checkpoints: e.checkpoints, Complete: e.done}
		if !e.unsignedSince.IsZero() {
			l.UnsignedSince = event.FormatTime(e.unsignedSince)
		}
		report.Logs = append(report.Logs, l)
	}
	report.Findings, report.Counts, report.Total = r.findings.all()
	report.Intact = complete && report.Total == 0 && !report.NotSigned()
	return report
}
