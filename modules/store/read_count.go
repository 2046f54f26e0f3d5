package store

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"

	"audittrail/platform/errs"
)

const (
	// CountCap is as far as Count counts.
	CountCap = 10_000

	// countBudget is how long a count may take.
	countBudget = 5 * time.Second
)

// Count returns how many events match; isCapped says that there are more. Without a filter it is the log's size.
func (r *Reader) Count(ctx context.Context, f Filter) (n int64, isCapped bool, err error) {
	if f.isEmpty() && Unscoped(ctx) {
		head, err := r.Head(ctx)
		return head + 1, false, err
	}
	if f, err = r.searching(ctx, f); err != nil {
		return 0, false, err
	}
	err = r.read(ctx, "count events", func(ctx context.Context, conn *pgx.Conn) error {
		defer cancelAfter(ctx, conn, countBudget)()
		n = 0
		where, spans, err := r.search(ctx, conn, f, f.From, f.To)
		if err != nil {
			return err
		}
		for step := 0; len(spans) > 0 && n <= CountCap; step++ {
			var part []span
			part, spans = cut(spans, step)
			s := overSpans(part, where, Ascending, int(CountCap+1-n))
			s.order = ""
			found, err := s.count(ctx, conn)
			if err != nil {
				return err
			}
			n += found
		}
		return nil
	})
	return min(n, CountCap), n > CountCap, err
}

var errEstimate = errs.New(errs.Invalid, "invalid_parameter",
	"can't be an estimate for who sees a part of the events: it would tell of the others").InField("count")

// Estimate returns roughly how many events match, by PostgreSQL's planner. It reads no event.
func (r *Reader) Estimate(ctx context.Context, f Filter) (n int64, err error) {
	if f, err = r.searching(ctx, f); err != nil {
		return 0, err
	}
	err = r.read(ctx, "estimate events", func(ctx context.Context, conn *pgx.Conn) error {
		n, err = (&selection{where: f.where()}).estimate(ctx, conn)
		return err
	})
	return n, err
}
