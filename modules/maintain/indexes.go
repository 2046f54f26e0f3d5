package maintain

import (
	"context"
	"errors"
	"log/slog"
	"maps"
	"slices"
	"time"

	"audittrail/modules/store"
)

const (
	// lookEvery is how often it is asked which partitions are due for their index by causation id.
	lookEvery = time.Hour
	// A partition that got more rows than these since the last look is being imported into, and that is cheaper without
	// the index.
	lateRows = 10_000
	// A build in vain is repeated after a pause of as many times what it took, and of a minute at least.
	retryPause = 10
)

// indexes gives partitions that are over their btrees by causation id, one at a time. A build may take hours, so it goes on
// beside the rounds.
type indexes struct {
	deps    Dependencies
	metrics metrics

	looked   time.Time        // when was last asked which are due; zero: never
	inserted map[string]int64 // rows ever inserted at that time, by partition
	due      []string         // partitions, the newest first

	building chan result // of the build of due[0]; nil: none is under way
	stop     context.CancelFunc
	failed   map[string]error // of the partitions' last builds, as long as these are due
	next     time.Time        // no build before
}

// result is how a build went.
type result struct {
	err  error
	took time.Duration
}

// round begins a build if one is due, and returns what the last ones failed with.
func (x *indexes) round(ctx context.Context, partitions []store.PartitionState, now time.Time) error {
	if x.building != nil {
		select {
		case o := <-x.building:
			x.stop()
			x.building = nil
			x.note(ctx, o, now)
		default:
			return x.trouble()
		}
	}
	if now.Sub(x.looked) >= lookEvery {
		x.look(partitions, now)
	}
	if len(x.due) > 0 && !now.Before(x.next) {
		x.build(ctx, x.due[0])
	}
	return x.trouble()
}

// trouble returns the failures, in the order of the partitions' names: the log is told where they change.
func (x *indexes) trouble() (all error) {
	for _, partition := range slices.Sorted(maps.Keys(x.failed)) {
		all = errors.Join(all, x.failed[partition])
	}
	return all
}

// look finds out which partitions are due. The first look of a lead finds none, since it can't tell which grow.
func (x *indexes) look(partitions []store.PartitionState, now time.Time) {
	inserted := make(map[string]int64, len(partitions))
	partitions = slices.SortedFunc(slices.Values(partitions), func(a, b store.PartitionState) int { return b.End.Compare(a.End) })
	x.due = nil
	for _, p := range partitions {
		inserted[p.Name] = p.Inserted
		if before, known := x.inserted[p.Name]; known && p.WantsByCause(now) && p.Inserted-before <= lateRows {
			x.due = append(x.due, p.Name)
		}
	}
	maps.DeleteFunc(x.failed, func(partition string, _ error) bool { return !slices.Contains(x.due, partition) })
	x.inserted, x.looked = inserted, now
}

func (x *indexes) build(ctx context.Context, partition string) {
	ctx, x.stop = context.WithCancel(ctx)
	done := make(chan result, 1)
	x.building = done
	go func() {
		var o result
		began := time.Now()
		_ = x.metrics.measure(taskByCause, func() error { // its error is in o
			o.err = unlessLocked(store.BuildByCause(ctx, x.deps.Owner, partition))
			return o.err
		})
		o.took = time.Since(began)
		done <- o
	}()
}

// note logs how the build of due[0] went, and plans the next one. After a build in vain the other partitions come first.
func (x *indexes) note(ctx context.Context, o result, now time.Time) {
	name := x.due[0]
	x.due = x.due[1:]
	delete(x.failed, name)
	partition, took := slog.String("partition", name), slog.Duration("took", o.took)
	if o.err == nil {
		x.deps.Log.InfoContext(ctx, "made the index by causation id of a partition that is over", partition, took)
		return
	}
	pause := max(retryPause*o.took, time.Minute)
	x.next, x.due = now.Add(pause), append(x.due, name)
	if errors.Is(o.err, errLocked) {
		x.deps.Log.InfoContext(ctx, "the index by causation id has to wait: somebody works on the partition, or a transaction takes minutes",
			partition, took, slog.Duration("againIn", pause))
		return
	}
	x.failed[name] = o.err
}

// close ends the build that is under way, if one is.
func (x *indexes) close() {
	if x.building != nil {
		x.stop()
		<-x.building
		x.building = nil
	}
}
