package notary

import (
	"context"
	"errors"
	"time"

	"audittrail/modules/ledger"
)

// term is one notary's time in the lead. It loads the memory once. From then on it has the same state as the file:
// a save that fails ends the term.
type term struct {
	*watch
	session    session
	ready      func()
	terms      []*logTerm
	paced      time.Time // when batches were last numbered and the patrols went on
	unnumbered error     // why they were not
}

// logTerm is one log's part of a term.
type logTerm struct {
	*watched
	db      rows      // the session's
	began   time.Time // when the last round began that tried to sign
	refusal error     // of that round, until it is tried again
	patrol  *patrol
}

// open begins a term with the state in the memory.
func (r *Role) open(ctx context.Context, s session) (*term, error) {
	w, err := r.watch(ctx, func(log ledger.Log) reader { return s.Ledger(log) })
	if err != nil {
		return nil, err
	}
	t := &term{watch: w, session: s}
	for _, l := range w.logs {
		t.terms = append(t.terms, &logTerm{watched: l, db: s.Ledger(l.log), patrol: r.patrols[l.log]})
	}
	if !r.led { // logged once, however often a term fails
		r.log.InfoContext(ctx, "this process signs the checkpoints", "origin", r.origin, "keys", t.logs[0].ids())
		r.led = true
	}
	return t, nil
}

// Round implements lifecycle.Term. Any error but a refusal ends the term. The next term begins with what the file
// and the database hold.
func (t *term) Round(ctx context.Context) bool {
	began := time.Now()
	err := t.round(ctx)
	if ctx.Err() == nil { // stopping is no failure
		t.role.metrics.round(time.Since(began), err)
	}
	t.role.note(ctx, err)
	if err == nil {
		t.ready()
	}
	return !fails(err) && !t.session.Lost()
}

// Close implements lifecycle.Term.
func (t *term) Close(ctx context.Context) {
	t.role.metrics.leader.Set(0)
	t.session.Close(ctx)
}

// round numbers the waiting batches, examines all logs, and signs those that have grown. If one log does not fit,
// none is signed, since they are in one database. Batches that can't be numbered do not prevent signing.
func (t *term) round(ctx context.Context) error {
	began := t.role.now()
	paced := began.Sub(t.paced) >= t.role.pace-t.role.pace/4
	if paced {
		t.paced = began
		t.unnumbered = t.number(ctx)
	}
	err := t.examine(ctx)
	if !fails(err) {
		err = errors.Join(err, t.patrolAll(ctx, paced && err == nil)) // no patrol goes on while a log does not fit
	}
	if err == nil {
		err = t.advance(ctx, began, paced)
	}
	return errors.Join(t.unnumbered, err)
}

// advance signs the logs that have grown; all of them fit. A log that was refused is tried again after each pace,
// however long the interval is: a refusal ends when the log fits again.
func (t *term) advance(ctx context.Context, began time.Time, paced bool) error {
	// Ticks are not quite regular.
	least := t.role.interval - min(t.role.interval, t.role.pace)/4
	for _, l := range t.terms {
		if err := t.completeLast(ctx, l); err != nil {
			return asRefusal(l.log, err)
		}
		if l.size > l.head.Size && (began.Sub(l.began) >= least || l.refusal != nil && paced) {
			l.began = began
			if l.refusal = asRefusal(l.log, t.sign(ctx, l)); fails(l.refusal) {
				return l.refusal
			}
		}
		if l.refusal != nil {
			return l.refusal
		}
	}
	return nil
}

// number gives the waiting batches of the access log their positions.
func (t *term) number(ctx context.Context) error {
	const step = 1000 // of store.NumberPending
	for {
		switch n, err := t.session.NumberPending(ctx); {
		case err != nil:
			return &setback{err}
		case n < step:
			return nil
		}
	}
}

// patrolAll returns what the patrols have found. If on is set, each patrol goes on a step.
func (t *term) patrolAll(ctx context.Context, on bool) error {
	var all []error
	for _, l := range t.terms {
		err := l.patrol.fault
		if on {
			var done bool
			if done, err = l.patrol.step(ctx, l.watched, t.role.now(), t.role.lap); done {
				t.role.metrics.patrols.WithLabelValues(string(l.log)).Inc()
			}
		}
		all = append(all, err)
	}
	return errors.Join(all...)
}
