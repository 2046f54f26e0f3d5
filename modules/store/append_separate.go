package store

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5/pgconn"

	"audittrail/modules/event"
	"audittrail/modules/protect"
)

// separate finds the events that PostgreSQL refuses, by copying ever smaller parts of the plan in
// transactions that are rolled back, and makes them dead letters. The plan is ready for another try
// then.
func (a *Appender) separate(ctx context.Context, p *plan, refused *refusedError) error {
	if isMissingPartition(refused.cause) { // detached since it was last seen: make it again, blame nobody
		a.months.forget()
		if err := a.months.ensure(ctx, a.pool, p.events); err != nil {
			return err
		}
	}
	all := make([]int32, len(p.events))
	for i := range all {
		all[i] = int32(i)
	}
	bad := make(map[int32]string) // event to SQLSTATE
	if err := a.bisect(ctx, p, all, bad); err != nil {
		return err
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
		return err
	}
	*p = *next
	return nil
}

// bisect copies the part, and its halves where it is refused. Each bad event costs 2·log2(n) trials.
func (a *Appender) bisect(ctx context.Context, p *plan, part []int32, bad map[int32]string) error {
	err := a.trial(ctx, p, part)
	var refused *refusedError
	if !errors.As(err, &refused) {
		return err
	}
	if len(part) == 1 {
		bad[part[0]] = sqlState(refused.cause)
		return nil
	}
	half := len(part) / 2
	if err := a.bisect(ctx, p, part[:half], bad); err != nil {
		return err
	}
	return a.bisect(ctx, p, part[half:], bad)
}

// trial copies a part in and takes it back.
func (a *Appender) trial(ctx context.Context, p *plan, part []int32) error {
	conn, err := a.pool.Acquire(ctx)
	if err != nil {
		return fmt.Errorf("acquire connection: %w", err)
	}
	defer giveBack(conn, false) // closing it rolls the trial back
	if _, err := conn.Exec(ctx, beginSQL); err != nil {
		return fmt.Errorf("begin trial: %w", err)
	}
	t := transaction{conn: conn.Conn(), plan: p, survivors: part}
	if err := conn.QueryRow(ctx, nextBatchSQL).Scan(&t.batch); err != nil {
		return fmt.Errorf("draw batch number: %w", err)
	}
	return t.copyEvents(ctx)
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
