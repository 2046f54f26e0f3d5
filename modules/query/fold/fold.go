// Package fold reconstructs an aggregate's state out of its events: it folds their payloads one after the
// other, says what changed between two moments and which event did, and what the events' versions lack.
//
// It is pure: no database, no clock, no HTTP. A payload is folded as a JSON Merge Patch (RFC 7396), unless
// a rule of the configuration says otherwise; changes are a JSON Patch (RFC 6902). Numbers keep their
// exact decimal spelling, except where a jq program computes with them.
package fold

import (
	"context"
	"errors"
	"fmt"

	"audittrail/modules/event"
)

// MaxState is how many bytes of JSON a state may have, about.
const MaxState = 16 << 20

// ErrTooLarge is a state beyond MaxState.
var ErrTooLarge = errors.New("the state has more than 16 MiB")

// RuleError is an event that its rule can't be applied to.
type RuleError struct {
	Event event.ID
	Rule  Kind
	Cause error // for logs alone: it may quote what is in the event
}

func (e *RuleError) Error() string {
	return fmt.Sprintf("rule %s can't be applied to event %s: %v", e.Rule, e.Event, e.Cause)
}

func (e *RuleError) Unwrap() error { return e.Cause }

// Fold is an aggregate's state while its events are applied. It begins as the empty object.
type Fold struct {
	rules   *Rules
	tree    tree
	changes bool       // remember which event changed what
	ids     []event.ID // of the events, where changes are remembered
}

// New begins a fold. With changes it remembers which event changed what, for [Fold.Since], and for that
// keeps a trace of all members that were there once.
func New(rules *Rules, changes bool) *Fold {
	f := &Fold{rules: rules, changes: changes}
	f.tree.root = &node{kind: object, members: map[string]*node{}, by: -1}
	f.tree.keep = changes
	return f
}

// Apply folds the next event, whose payload MUST be canonical. After an error the fold is of no use. The
// error is a *RuleError, ErrTooLarge, or the context's.
func (f *Fold) Apply(ctx context.Context, e *event.Stored) error {
	if f.changes {
		f.tree.by = int32(len(f.ids))
		f.ids = append(f.ids, e.ID)
	}
	rule := f.rules.of(e)
	if err := rule.apply(ctx, &f.tree, e); err != nil {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if errors.Is(err, ErrTooLarge) {
			return err
		}
		return &RuleError{e.ID, rule.kind, err}
	}
	if f.tree.size > MaxState {
		return ErrTooLarge
	}
	return nil
}

// State returns the state as JSON.
func (f *Fold) State() []byte { return f.tree.root.append(nil) }

// Mark is a state that changes are counted from.
type Mark struct{ root *node }

// Mark returns the state as it is now.
func (f *Fold) Mark() Mark { return Mark{f.tree.root.clone()} }

// Empty is the state before the first event.
func Empty() Mark { return Mark{&node{kind: object, by: -1}} }
