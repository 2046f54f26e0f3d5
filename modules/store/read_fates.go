package store

import (
	"context"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"audittrail/modules/event"
	"audittrail/platform/errs"
)

// Fate is what became of a dead letter, for ever.
type Fate struct {
	What   string // WasRedriven or WasDismissed
	At     time.Time
	By     string
	Reason string // why, in the words of whoever decided

	// Of a redriven one.
	EventID event.ID
	Stored  bool // not if the event was stored before
	Edited  bool
	Redrive int64 // the request's id
}

// Retry is a redrive of a dead letter that failed again.
type Retry struct {
	Redrive int64
	At      time.Time
	Reason  event.Reason
	Field   string
	Detail  string
}

const (
	// It uses the primary key.
	readFatesSQL = `SELECT dead_letter_id, fate, decided_at, decided_by, reason, event_id, batch IS NOT NULL, edited, coalesce(request, 0)
		FROM dead_letter_fates WHERE dead_letter_id = ANY ($1)`
	// It uses redrive_items_letter.
	readRetriesSQL = `SELECT DISTINCT ON (dead_letter_id) dead_letter_id, request, tried_at, reason, field, detail
		FROM redrive_items WHERE dead_letter_id = ANY ($1) AND outcome = 'failed' ORDER BY dead_letter_id, request DESC`
)

// readFates adds what became of the letters.
func (r *Reader) readFates(ctx context.Context, letters []DeadLetter) error {
	if len(letters) == 0 {
		return nil
	}
	at, ids := map[int64]*DeadLetter{}, make([]int64, len(letters))
	for i := range letters {
		at[letters[i].ID], ids[i] = &letters[i], letters[i].ID
	}
	return r.read(ctx, "read what became of dead letters", func(ctx context.Context, conn *pgx.Conn) error {
		var (
			id      int64
			f       Fate
			eventID *[16]byte
			retry   Retry
			reason  string
		)
		rows, _ := conn.Query(ctx, readFatesSQL, ids)
		_, err := pgx.ForEachRow(rows, []any{&id, &f.What, &f.At, &f.By, &f.Reason, &eventID, &f.Stored, &f.Edited, &f.Redrive}, func() error {
			fate := f
			if fate.At = fate.At.UTC(); eventID != nil {
				fate.EventID = *eventID
			}
			at[id].Fate, eventID = &fate, nil
			return nil
		})
		if err != nil {
			return err
		}
		rows, _ = conn.Query(ctx, readRetriesSQL, ids)
		_, err = pgx.ForEachRow(rows, []any{&id, &retry.Redrive, &retry.At, &reason, &retry.Field, &retry.Detail}, func() error {
			one := retry
			one.At, one.Reason = one.At.UTC(), event.Reason(reason)
			at[id].Retry = &one
			return nil
		})
		return err
	})
}

// Selection is which pending dead letters a decision is about.
type Selection struct {
	IDs     []int64 // ascending
	Reasons map[string]int
	More    bool // more letters fit than were asked for
}

// SelectDeadLetters returns the oldest pending dead letters that fit the filter, at most limit. Those that the caller
// may not see are none. It uses the primary keys.
func (r *Reader) SelectDeadLetters(ctx context.Context, f DeadLetterFilter, limit int) (Selection, error) {
	s := Selection{Reasons: map[string]int{}}
	f.Status = Pending
	err := r.read(ctx, "select dead letters", func(ctx context.Context, conn *pgx.Conn) error {
		for {
			seen, last, err := r.selectPage(ctx, conn, &s, f, limit)
			if err != nil || s.More || seen < scopedRows {
				return err
			}
			f.After = last
		}
	})
	return s, err
}

// page adds what is visible of the next rows.
func (r *Reader) selectPage(ctx context.Context, conn *pgx.Conn, s *Selection, f DeadLetterFilter, limit int) (seen int, last int64, err error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel() // what is left is not drained
	where, columns := f.where(), shownColumns
	if Unscoped(ctx) { // nothing depends on the records
		columns = deadLetterColumns + `NULL::bytea, false, false, false, NULL::bytea, NULL::bytea, '{}'::bytea[], '{}'::bytea[]`
	}
	rows, err := conn.Query(ctx, "SELECT "+columns+shownFrom+"WHERE "+where.sql()+" ORDER BY id LIMIT "+where.bind(scopedRows),
		append([]any{pgx.QueryExecModeExec}, where.args...)...)
	if err != nil {
		return 0, 0, err
	}
	defer rows.Close()
	for rows.Next() {
		letter, err := scanDeadLetter(rows)
		if err == nil && !Unscoped(ctx) {
			err = r.openLetter(ctx, &letter)
		}
		if err != nil {
			return 0, 0, err
		}
		if seen, last = seen+1, letter.ID; !letter.visible(ctx) {
			continue
		}
		if s.More = len(s.IDs) == limit; s.More {
			return seen, last, nil
		}
		s.IDs = append(s.IDs, letter.ID)
		s.Reasons[string(letter.Reason)]++
	}
	return seen, last, rows.Err()
}

// PendingDeadLetters returns these dead letters, ascending. One that is not there, or not to be seen, is a NotFound,
// and one that is decided a Conflict.
func (r *Reader) PendingDeadLetters(ctx context.Context, ids []int64) ([]DeadLetter, error) {
	ids = slices.Clone(ids)
	slices.Sort(ids)
	ids = slices.Compact(ids)
	var letters []DeadLetter
	err := r.read(ctx, "read dead letters", func(ctx context.Context, conn *pgx.Conn) error {
		rows, err := conn.Query(ctx, "SELECT "+shownColumns+shownFrom+"WHERE id = ANY ($1) ORDER BY id", ids)
		if err != nil {
			return err
		}
		defer rows.Close()
		for rows.Next() {
			letter, err := scanDeadLetter(rows)
			if err == nil && !Unscoped(ctx) {
				err = r.openLetter(ctx, &letter)
			}
			if err != nil {
				return err
			}
			if letter.visible(ctx) {
				letter.Raw.Value, letter.Raw.Key, letter.Raw.Headers = nil, nil, nil // thousands would be much
				letters = append(letters, letter)
			}
		}
		return rows.Err()
	})
	if err != nil {
		return nil, err
	}
	for i, id := range ids {
		if i >= len(letters) || letters[i].ID != id {
			return nil, errs.New(errs.NotFound, "not_found", "there is no dead letter %d", id).InField("ids")
		}
	}
	if err := r.readFates(ctx, letters); err != nil {
		return nil, err
	}
	for i := range letters {
		if f := letters[i].Fate; f != nil {
			return nil, errs.New(errs.Conflict, "already_decided", "dead letter %d is %s already", letters[i].ID, f.What).InField("ids")
		}
	}
	return letters, nil
}
