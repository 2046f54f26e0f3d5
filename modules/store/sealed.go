package store

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"audittrail/modules/event"
	"audittrail/modules/protect"
)

// copySealed (step 3) notes whose values the survivors hold, and what finds them. Batches without sealed values cost
// nothing.
func (t *transaction) copySealed(ctx context.Context) error {
	var refs, tokens [][]any
	for index, i := range t.survivors {
		s := t.plan.events[i]
		keys := s.Keys()
		if len(keys) == 0 {
			continue
		}
		at, id := s.Event().Timestamp, rowID(t.batch, index)
		for _, key := range keys {
			refs = append(refs, []any{[16]byte(key), at, id})
		}
		for _, token := range s.Tokens() {
			tokens = append(tokens, []any{token.Value[:], at, id, [16]byte(token.Key), token.Place})
		}
	}
	if len(refs) > 0 {
		if _, err := t.conn.CopyFrom(ctx, pgx.Identifier{"sealed_refs"}, []string{"key", "timestamp", "id"}, pgx.CopyFromRows(refs)); err != nil {
			return fmt.Errorf("note subjects: %w", err)
		}
	}
	if len(tokens) > 0 {
		if _, err := t.conn.CopyFrom(ctx, pgx.Identifier{"sealed_tokens"}, []string{"token", "timestamp", "id", "key", "place"}, pgx.CopyFromRows(tokens)); err != nil {
			return fmt.Errorf("note tokens: %w", err)
		}
	}
	return nil
}

// form is in which form a read returns sealed values. The zero value is the placeholder, for readers who may not see
// them.
type form struct {
	stored bool  // as they are stored and proven
	opens  bool  // they are opened, and found by what they hold
	scope  Scope // of which events they are opened
	tell   func([]protect.KeyID)
}

type formKey struct{}

// WithStoredForm has reads return sealed values as they are stored, as evidence has them.
func WithStoredForm(ctx context.Context) context.Context {
	return context.WithValue(ctx, formKey{}, form{stored: true})
}

// WithOpening has reads open the sealed values of events in a scope. tell is told the keys that opened something, and
// may be nil.
func WithOpening(ctx context.Context, s Scope, tell func([]protect.KeyID)) context.Context {
	return context.WithValue(ctx, formKey{}, form{opens: true, scope: s, tell: tell})
}

func formOf(ctx context.Context) form {
	f, _ := ctx.Value(formKey{}).(form)
	return f
}

// telling has somebody else told which keys opened something.
func telling(ctx context.Context, tell func([]protect.KeyID)) context.Context {
	f := formOf(ctx)
	f.tell = tell
	return context.WithValue(ctx, formKey{}, f)
}

// shown returns the rows' events, with sealed values in the form that the reader's context asks for. Every event that
// leaves a Reader comes through here.
func (r *Reader) shown(ctx context.Context, rows []row) ([]event.Stored, error) {
	events := make([]event.Stored, len(rows))
	var closed, masked []*event.Event
	f := formOf(ctx)
	for i := range rows {
		events[i] = rows[i].stored
		if !rows[i].sealed || f.stored {
			continue
		}
		e := &events[i].Event
		source, hasSource := e.Source()
		switch {
		case r.opener == nil:
			protect.Mask(e)
		case !f.opens || !f.scope.Shows(e.Type, e.AggregateType, source, hasSource):
			masked = append(masked, e)
		default:
			closed = append(closed, e)
		}
	}
	if len(masked) > 0 {
		r.mask(ctx, masked)
	}
	if len(closed) == 0 {
		return events, nil
	}
	bounded, cancel := context.WithTimeout(ctx, keysTimeout)
	defer cancel()
	opened, err := r.opener.Open(bounded, closed)
	if err != nil {
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		return nil, fmt.Errorf("open sealed values: %w", err)
	}
	if f.tell != nil && len(opened) > 0 {
		f.tell(opened)
	}
	return events, nil
}

// mask replaces sealed values by placeholders. Which of them are erased is not said while the keys can't be reached: who
// may not see values can do without.
func (r *Reader) mask(ctx context.Context, events []*event.Event) {
	bounded, cancel := context.WithTimeout(ctx, maskTimeout)
	defer cancel()
	if r.opener.Mask(bounded, events) == nil {
		return
	}
	for _, e := range events {
		protect.Mask(e)
	}
}

// maskTimeout is shorter: an answer without it is right too.
const maskTimeout = time.Second

// keysTimeout bounds the time in which keys have to be had.
const keysTimeout = 5 * time.Second
