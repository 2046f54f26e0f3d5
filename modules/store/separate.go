package store

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5/pgconn"

	"audittrail/modules/event"
	"audittrail/modules/protect"
)

const (
	savepointSQL = `SAVEPOINT part`
	keepSQL      = `RELEASE SAVEPOINT part`
	takeBackSQL  = `ROLLBACK TO SAVEPOINT part`
)

// separate finds the events that PostgreSQL refuses and makes them dead letters. The plan is ready for
// another try then. It answers how many there were.
func (a *Appender) separate(ctx context.Context, p *plan, refused *refusedError) (int, error) {
	if isMissingPartition(refused.cause) { // detached since it was last seen: make it again, blame nobody
		a.months.forget()
		if err := a.months.ensure(ctx, a.pool, p.events); err != nil {
			return 0, err
		}
	}
	bad, err := a.findRefused(ctx, p)
	if err != nil || len(bad) == 0 {
		return 0, err
	}
	kept := make([]protect.Sealed, 0, len(p.events))
	rejected := append([]event.Rejected(nil), p.rejected...)
	for i, e := range p.events {
		code, isBad := bad[int32(i)]
		if !isBad {
			kept = append(kept, e)
			continue
		}
		rejected = append(rejected, event.Rejected{Raw: *e.Raw(), Reason: event.StoreRejected,
			Detail: "PostgreSQL refused the row with SQLSTATE " + code})
	}
	a.log.WarnContext(ctx, "PostgreSQL refused events", "count", len(bad))
	next, err := newPlan(Batch{Ranges: p.ranges, Events: kept, Rejected: rejected}, p.recordedAt)
	if err != nil {
		return 0, err
	}
	*p = *next
	return len(bad), nil
}

// findRefused answers which events PostgreSQL refuses, each with its SQLSTATE. It makes the try anew, as far
// as its copy, in a transaction that is rolled back: only there do the rows meet what they will meet, the
// events before them included.
func (a *Appender) findRefused(ctx context.Context, p *plan) (map[int32]string, error) {
	conn, err := a.pool.Acquire(ctx)
	if err != nil {
		return nil, fmt.Errorf("acquire connection: %w", err)
	}
	defer giveBack(conn, false) // closing it rolls the trial back
	defer a.watch(ctx, conn.Conn().PgConn().PID())()
	t := transaction{conn: conn.Conn(), plan: p}
	if err := t.fence(ctx); err != nil {
		return nil, err
	}
	if err := t.dedupe(ctx); err != nil {
		return nil, err
	}
	p.rows.number(t.survivors, t.batch)
	bad := make(map[int32]string)
	if err := t.bisect(ctx, t.survivors, bad); err != nil {
		return nil, err
	}
	return bad, t.replace(ctx, bad)
}

// bisect copies the part, and its halves in their order where it is refused; what is taken stays for those
// that follow, so that of two events which are refused together the first is good. Each bad event costs
// 2·log2(n) trials.
func (t *transaction) bisect(ctx context.Context, part []int32, bad map[int32]string) error {
	err := t.trial(ctx, part)
	var refused *refusedError
	if !errors.As(err, &refused) {
		return err
	}
	if len(part) == 1 {
		bad[part[0]] = sqlState(refused.cause)
		return nil
	}
	half := len(part) / 2
	if err := t.bisect(ctx, part[:half], bad); err != nil {
		return err
	}
	return t.bisect(ctx, part[half:], bad)
}

// replace tries, for each event that is refused, the others of its id, one of which would survive in its
// place: a batch that holds a bad event many times is done in one round.
func (t *transaction) replace(ctx context.Context, bad map[int32]string) error {
	for _, group := range t.plan.groups {
		for at, i := range group {
			if _, isBad := bad[i]; !isBad || at+1 == len(group) {
				continue
			}
			next := group[at+1 : at+2]
			t.plan.rows.number(next, t.batch)
			if err := t.bisect(ctx, next, bad); err != nil {
				return err
			}
		}
	}
	return nil
}

// trial copies a part in, and takes it back where it is refused.
func (t *transaction) trial(ctx context.Context, part []int32) error {
	if len(part) == 0 {
		return nil
	}
	if _, err := t.conn.Exec(ctx, savepointSQL); err != nil {
		return fmt.Errorf("begin trial: %w", err)
	}
	err := t.copyRows(ctx, part)
	end := keepSQL
	var refused *refusedError
	if errors.As(err, &refused) {
		end = takeBackSQL + "; " + keepSQL
	} else if err != nil {
		return err
	}
	if _, failed := t.conn.Exec(ctx, end); failed != nil {
		return fmt.Errorf("end trial: %w", failed)
	}
	return err
}

func sqlState(err error) string {
	var pg *pgconn.PgError
	if errors.As(err, &pg) {
		return pg.Code
	}
	return "unknown"
}

// isMissingPartition: "no partition of relation found for row" is reported as a check violation
// without the name of a constraint.
func isMissingPartition(err error) bool {
	var pg *pgconn.PgError
	return errors.As(err, &pg) && pg.Code == "23514" && pg.ConstraintName == ""
}
