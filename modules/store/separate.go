package store

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5/pgconn"

	"audittrail/modules/event"
	"audittrail/modules/protect"
	"audittrail/platform/postgres"
)

const (
	savepointSQL = `SAVEPOINT part`
	keepSQL      = `RELEASE SAVEPOINT part`
	takeBackSQL  = `ROLLBACK TO SAVEPOINT part`
)

// separate finds the events that PostgreSQL refuses, and makes them dead letters. It returns how many there are.
// The plan can then be tried again.
func (a *Appender) separate(ctx context.Context, p *plan, refused *refusedError) (int, error) {
	bad, err := a.blame(ctx, p, refused)
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
			Detail: refusedDetail + code})
	}
	next, err := newPlan(Batch{Ranges: p.ranges, Events: kept, Rejected: rejected}, p.recordedAt)
	if err != nil {
		return 0, err
	}
	*p = *next
	return len(bad), nil
}

// refusedDetail stands before the code.
const refusedDetail = "PostgreSQL refused the row with SQLSTATE "

// blame is findRefused, after it has made a partition that is missing: it was detached since, and no event is to
// blame for that.
func (a *Appender) blame(ctx context.Context, p *plan, refused *refusedError) (map[int32]string, error) {
	if isMissingPartition(refused.cause) {
		a.months.forget()
		if err := a.months.ensure(ctx, a.pool, timesOf(p.events)); err != nil {
			return nil, err
		}
	}
	bad, err := a.findRefused(ctx, p)
	if len(bad) > 0 {
		a.log.WarnContext(ctx, "PostgreSQL refused events", "count", len(bad))
	}
	return bad, err
}

// findRefused returns the events that PostgreSQL refuses, each with its SQLSTATE. It repeats the try up to the copy,
// in a transaction that is rolled back. Only so are the rows checked against all that they will meet, including
// the events before them.
func (a *Appender) findRefused(ctx context.Context, p *plan) (map[int32]string, error) {
	conn, err := a.pool.Acquire(ctx)
	if err != nil {
		return nil, fmt.Errorf("acquire connection: %w", err)
	}
	defer giveBack(conn, false) // closing it rolls the trial back
	defer a.breakStalls(ctx, postgres.Backend(conn.Conn().PgConn()))()
	t := transaction{conn: conn.Conn(), plan: p}
	if err := t.begin(ctx); err != nil {
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

// bisect copies the part. If PostgreSQL refuses it, it copies the halves, in order. Accepted rows stay for the
// trials that follow, so of two events that only together are refused the first is accepted. Each bad event
// costs 2·log2(n) trials.
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

// replace tries the next event with the same id for each refused event, since it would survive instead. So a batch
// with many copies of a bad event needs one round.
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

// trial copies a part, and rolls it back if PostgreSQL refuses it.
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

// isMissingPartition reports whether err is "no partition of relation found for row". PostgreSQL reports it as a
// check violation without the name of a constraint.
func isMissingPartition(err error) bool {
	var pg *pgconn.PgError
	return errors.As(err, &pg) && pg.Code == "23514" && pg.ConstraintName == ""
}
