package maintain

import (
	"context"
	"errors"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"audittrail/modules/store"
)

const (
	// monthsAhead is how many months after the present one have a partition; migrations makes as many.
	monthsAhead = 3

	// monthsEvery is how often that is looked at.
	monthsEvery = time.Hour

	// attention is how long a partition is looked after once rows came in: the statistics that tell of
	// an insert may be 10 s late, and be the last.
	attention = time.Minute

	// A partition is worth the planner's while from so many rows on; where the statistics that count
	// them were lost, from the bytes that they take.
	analyseRows  = 10_000
	analyseBytes = 8 << 20
)

// rounds is what one lead remembers from round to round.
type rounds struct {
	deps     Dependencies
	metrics  metrics
	session  *store.Upkeep
	months   time.Time            // when months ahead were last made; zero: never
	inserted map[string]int64     // rows ever inserted, by partition
	until    map[string]time.Time // how long to look after a partition
	letters  time.Time            // when the keys of old dead letters were last looked for; zero: never
	indexes  *indexes
}

func newRounds(deps Dependencies, m metrics, session *store.Upkeep) *rounds {
	return &rounds{
		deps: deps, metrics: m, session: session, inserted: make(map[string]int64), until: make(map[string]time.Time),
		indexes: &indexes{deps: deps, metrics: m, failed: make(map[string]error)},
	}
}

// run is one round. What fails does not keep the rest from being done, unless the session is lost.
func (r *rounds) run(ctx context.Context) error {
	now := r.deps.Now().UTC()
	failed := errors.Join(r.makeMonths(ctx, now), r.destroyLetterKeys(ctx, now))
	partitions, err := r.session.Partitions(ctx)
	if err != nil {
		return errors.Join(failed, err)
	}
	r.metrics.ahead.Set(float64(ahead(partitions, now)))
	failed = errors.Join(failed, r.indexes.round(ctx, partitions, now))
	for _, p := range r.busy(partitions, now) {
		failed = errors.Join(failed, r.lookAfter(ctx, p))
		if r.session.Lost() || ctx.Err() != nil {
			break
		}
	}
	return failed
}

// makeMonths makes the partitions of this month and the next ones.
func (r *rounds) makeMonths(ctx context.Context, now time.Time) error {
	if !r.months.IsZero() && now.Sub(r.months) < monthsEvery && now.Month() == r.months.Month() {
		return nil
	}
	return r.metrics.measure(taskMonths, func() error {
		for m := range monthsAhead + 1 {
			if err := store.EnsureMonth(ctx, r.deps.Pool, monthAfter(now, m)); err != nil {
				return err
			}
		}
		r.months = now
		return nil
	})
}

// destroyLetterKeys destroys the keys of dead letters that are old enough.
func (r *rounds) destroyLetterKeys(ctx context.Context, now time.Time) error {
	if r.deps.LetterDays == 0 || !r.letters.IsZero() && now.Sub(r.letters) < monthsEvery {
		return nil
	}
	return r.metrics.measure(taskLetters, func() error {
		n, err := store.DestroyLetterKeys(ctx, r.deps.Keys, now.AddDate(0, 0, -r.deps.LetterDays))
		if err != nil {
			return err
		}
		if n > 0 {
			r.deps.Log.InfoContext(ctx, "keys of old dead letters were destroyed", "keys", n)
		}
		r.letters = now
		return nil
	})
}

// monthAfter returns the first moment of the month that is so many after that of now.
func monthAfter(now time.Time, months int) time.Time {
	return time.Date(now.Year(), now.Month()+time.Month(months), 1, 0, 0, 0, 0, time.UTC)
}

// ahead counts the months after the present one, without a gap, that have a partition.
func ahead(partitions []store.PartitionState, now time.Time) int {
	there := make(map[string]bool, len(partitions))
	for _, p := range partitions {
		there[p.Name] = true
	}
	months := 0
	for there[store.MonthPartition(monthAfter(now, months+1))] {
		months++
	}
	return months
}

// busy are the partitions that rows came into lately. At the lead's first round those are all that hold
// any, since nobody knows what an earlier leader left undone.
func (r *rounds) busy(partitions []store.PartitionState, now time.Time) []store.PartitionState {
	var busy []store.PartitionState
	for _, p := range partitions {
		before, known := r.inserted[p.Name]
		if p.Inserted != before || !known && p.Bytes > 0 {
			r.until[p.Name] = now.Add(attention)
		}
		r.inserted[p.Name] = p.Inserted
		if now.Before(r.until[p.Name]) {
			busy = append(busy, p)
		}
	}
	return busy
}

func (r *rounds) lookAfter(ctx context.Context, p store.PartitionState) error {
	failed := r.metrics.measure(taskPending, func() error {
		pages, err := r.session.CleanPendingLists(ctx, p.Name)
		r.metrics.pages.Add(float64(pages))
		return unlessLocked(err)
	})
	failed = errors.Join(failed, r.metrics.measure(taskSummarise, func() error {
		_, err := r.session.Summarise(ctx, p.Name)
		return unlessLocked(err)
	}))
	if !p.Analysed && (p.Inserted >= analyseRows || p.Bytes >= analyseBytes) {
		failed = errors.Join(failed, r.metrics.measure(taskAnalyse, func() error {
			return unlessLocked(r.session.Analyse(ctx, p.Name))
		}))
	}
	return failed
}

// errLocked says that somebody else works on the partition, most likely autovacuum, which does the same
// and more. The next round tries again.
var errLocked = errors.New("somebody else works on the partition")

// unlessLocked turns lock_not_available into errLocked.
func unlessLocked(err error) error {
	var failed *pgconn.PgError
	if errors.As(err, &failed) && failed.Code == "55P03" {
		return errLocked
	}
	return err
}
