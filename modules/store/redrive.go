package store

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"audittrail/modules/event"
	"audittrail/modules/protect"
)

// RedriveRequest is somebody's wish that dead letters become events after all.
type RedriveRequest struct {
	ID        int64
	CreatedAt time.Time
	By        string
	Reason    string
	Edited    bool
	Value     []byte         // in place of the record's own, where Edited
	SealedBy  *protect.KeyID // the key that Value is sealed with, as a dead letter's; nil where it is not
}

// Redriven is a dead letter whose record is an event now.
type Redriven struct {
	Letter int64
	Event  protect.Sealed // of the letter's record, with its coordinates; see event.Valid.Redriven
}

// What became of a dead letter of a redrive.
const (
	RedriveStored    = "stored"
	RedriveDuplicate = "duplicate" // the event was stored before, with the same content
	RedriveFailed    = "failed"    // it is no event still, and stays a pending dead letter
	RedriveDecided   = "decided"   // somebody else redrove or dismissed it first
)

// RedriveOutcome is what became of one dead letter.
type RedriveOutcome struct {
	Letter int64
	What   string

	// Of a failed one.
	Reason event.Reason
	Field  string
	Detail string
}

// redrive is what a plan holds that stores dead letters again: the transaction inserts their fates in place of the
// fence. Their order is that of the plan's events.
type redrive struct {
	request   RedriveRequest
	letters   []int64 // ascending, which is the order of the locks
	duplicate []bool  // the event is known to be stored before
}

// decidedError says that some dead letters have a fate already. Nothing was written.
type decidedError struct{ letters []int64 }

func (e *decidedError) Error() string {
	return fmt.Sprintf("%d dead letters are decided already", len(e.letters))
}

// judgedError says that the event ids are taken otherwise than the plan expected. Nothing was written.
type judgedError struct{ verdicts []verdict }

func (*judgedError) Error() string { return "event ids are taken" }

// Redrive stores the records of dead letters as events, in one transaction as Append does, and records each one's
// fate in it. A fate is unique, so a dead letter becomes an event once, whoever redrives it at the same time. There
// is no fence and no range: the offsets are accounted for as dead-lettered. letters are at most MaxBatchEvents.
//
// If it returns an error, the caller may call it again with the same letters: those that an earlier try stored are
// found by their fates.
func (a *Appender) Redrive(ctx context.Context, request RedriveRequest, letters []Redriven) ([]RedriveOutcome, error) {
	left := slices.Clone(letters)
	slices.SortFunc(left, func(x, y Redriven) int { return cmp.Compare(x.Letter, y.Letter) })
	duplicate := map[int64]bool{}
	var done []RedriveOutcome
	for blamed := true; len(left) > 0; {
		if err := a.months.ensure(ctx, a.pool, timesOf(eventsOf(left))); err != nil {
			return nil, fmt.Errorf("redrive: %w", err)
		}
		p, err := newRedrivePlan(request, left, duplicate, a.now())
		if err != nil {
			return nil, err
		}
		var (
			decided *decidedError
			judged  *judgedError
			refused *refusedError
			out     []RedriveOutcome
		)
		switch err = a.try(ctx, p, &Receipt{}); {
		case err == nil:
			return append(done, p.redrive.stored()...), nil
		case errors.As(err, &decided):
			out, err = a.fates(ctx, request.ID, decided.letters)
		case errors.As(err, &judged):
			out, err = p.redrive.judge(judged.verdicts, duplicate), nil
		case errors.As(err, &refused):
			out, err = a.refusedLetters(ctx, p, refused)
			if err == nil && len(out) == 0 && !(blamed && isMissingPartition(refused.cause)) {
				err = fmt.Errorf("no event alone is to blame: %w", refused)
			}
			blamed = len(out) > 0
		}
		if err != nil {
			return nil, fmt.Errorf("redrive: %w", err)
		}
		done = append(done, out...)
		left = slices.DeleteFunc(left, func(r Redriven) bool {
			return slices.ContainsFunc(out, func(o RedriveOutcome) bool { return o.Letter == r.Letter })
		})
	}
	return done, nil
}

func eventsOf(letters []Redriven) []protect.Sealed {
	events := make([]protect.Sealed, len(letters))
	for i := range letters {
		events[i] = letters[i].Event
	}
	return events
}

func newRedrivePlan(request RedriveRequest, letters []Redriven, duplicate map[int64]bool, now time.Time) (*plan, error) {
	if len(letters) > MaxBatchEvents {
		return nil, fmt.Errorf("redrive: %d dead letters, at most %d", len(letters), MaxBatchEvents)
	}
	r := &redrive{request: request}
	for _, l := range letters {
		r.letters = append(r.letters, l.Letter)
		r.duplicate = append(r.duplicate, duplicate[l.Letter])
	}
	p := &plan{events: eventsOf(letters), redrive: r}
	return p, p.encode(now)
}

// fatesSQL uses the primary key of dead_letter_fates, in the order of the locks. A fate that another transaction is
// about to commit is waited for.
const fatesSQL = `INSERT INTO dead_letter_fates (dead_letter_id, batch, request, decided_at, event_id, edited, fate, decided_by, reason)
	SELECT l.id, CASE WHEN NOT l.duplicate THEN $1::bigint END, $2, $3, l.event_id, $4, 'redriven', $5, $6
	FROM unnest($7::bigint[], $8::uuid[], $9::boolean[]) AS l (id, event_id, duplicate)
	ON CONFLICT (dead_letter_id) DO NOTHING RETURNING dead_letter_id`

// takeFates (step 1 of a redrive) inserts the letters' fates.
func (t *transaction) takeFates(ctx context.Context) error {
	var batch pgx.Batch
	batch.Queue(beginSQL)
	batch.Queue(checkAtOnceSQL)
	batch.Queue(writerSQL)
	batch.Queue(nextBatchSQL)
	results := t.conn.SendBatch(ctx, &batch)
	defer results.Close() //nolint:errcheck // closed and checked below; this one is for early returns
	for range 3 {
		if _, err := results.Exec(); err != nil {
			return fmt.Errorf("begin: %w", err)
		}
	}
	if err := results.QueryRow().Scan(&t.batch); err != nil {
		return fmt.Errorf("draw batch number: %w", err)
	}
	if err := results.Close(); err != nil {
		return fmt.Errorf("begin: %w", err)
	}
	r := t.plan.redrive
	ids := make([][16]byte, len(t.plan.events))
	for i := range t.plan.events {
		ids[i] = t.plan.events[i].Event().ID
	}
	rows, _ := t.conn.Query(ctx, fatesSQL, t.batch, r.request.ID, t.plan.recordedAt, r.request.Edited,
		storable(r.request.By), storable(r.request.Reason), r.letters, ids, r.duplicate)
	taken, err := pgx.CollectRows(rows, pgx.RowTo[int64])
	if err != nil {
		return fmt.Errorf("decide fates: %w", err)
	}
	if len(taken) == len(r.letters) {
		return nil
	}
	return &decidedError{slices.DeleteFunc(slices.Clone(r.letters), func(id int64) bool { return slices.Contains(taken, id) })}
}

// asPlanned checks the verdicts about a redrive's events against what their fates say.
func (t *transaction) asPlanned() error {
	for i, v := range t.verdicts {
		if v == conflict || (v == duplicate) != t.plan.redrive.duplicate[i] {
			return &judgedError{t.verdicts}
		}
	}
	return nil
}

// judge returns the letters that conflict, and notes which are duplicates.
func (r *redrive) judge(verdicts []verdict, duplicates map[int64]bool) (conflicts []RedriveOutcome) {
	for i, v := range verdicts {
		if duplicates[r.letters[i]] = v == duplicate; v == conflict {
			conflicts = append(conflicts, RedriveOutcome{Letter: r.letters[i], What: RedriveFailed,
				Reason: event.EventIDConflict, Field: "eventId", Detail: conflictDetail})
		}
	}
	return conflicts
}

func (r *redrive) stored() []RedriveOutcome {
	out := make([]RedriveOutcome, len(r.letters))
	for i, id := range r.letters {
		out[i] = RedriveOutcome{Letter: id, What: RedriveStored}
		if r.duplicate[i] {
			out[i].What = RedriveDuplicate
		}
	}
	return out
}

// fates reads what became of letters that are decided. Those of this very request were stored by an earlier try.
func (a *Appender) fates(ctx context.Context, request int64, letters []int64) ([]RedriveOutcome, error) {
	rows, _ := a.pool.Query(ctx, `SELECT dead_letter_id, CASE WHEN request IS DISTINCT FROM $1 THEN 'decided'
			WHEN batch IS NULL THEN 'duplicate' ELSE 'stored' END
		FROM dead_letter_fates WHERE dead_letter_id = ANY ($2)`, request, letters)
	out, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (o RedriveOutcome, err error) {
		err = row.Scan(&o.Letter, &o.What)
		return o, err
	})
	if err != nil {
		return nil, fmt.Errorf("read fates: %w", err)
	}
	return out, nil
}

// refusedLetters finds the events that PostgreSQL refuses.
func (a *Appender) refusedLetters(ctx context.Context, p *plan, refused *refusedError) ([]RedriveOutcome, error) {
	bad, err := a.blame(ctx, p, refused)
	var out []RedriveOutcome
	for i, code := range bad {
		out = append(out, RedriveOutcome{Letter: p.redrive.letters[i], What: RedriveFailed, Reason: event.StoreRejected,
			Detail: refusedDetail + code})
	}
	return out, err
}
