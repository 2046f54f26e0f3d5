package notary

import (
	"context"
	"errors"
	"time"

	"audittrail/modules/ledger"
)

// term is one notary's time in the lead. Its memory is loaded once and then the same as the file's: what
// can't be saved ends the term.
type term struct {
	*watch
	session    session
	ready      func()
	led        []*logTerm
	paced      time.Time // when batches were numbered, and the patrols went on
	unnumbered error     // why they were not
}

// logTerm is one log's part of a term.
type logTerm struct {
	*watched
	db      rows      // the session's
	began   time.Time // when the round began in which it was last to be signed
	refusal error     // that of this round, until it is tried again
	patrol  *patrol
}

// open begins a term with what the memory holds.
func (r *Role) open(ctx context.Context, s session) (*term, error) {
	w, err := r.watch(ctx, func(log ledger.Log) reader { return s.Ledger(log) })
	if err != nil {
		return nil, err
	}
	t := &term{watch: w, session: s}
	for _, l := range w.logs {
		t.led = append(t.led, &logTerm{watched: l, db: s.Ledger(l.log), patrol: r.patrols[l.log]})
	}
	if !r.led { // once, however often a term fails
		r.log.InfoContext(ctx, "this process signs the checkpoints", "origin", r.origin, "keys", t.logs[0].ids())
		r.led = true
	}
	return t, nil
}

// Round implements lifecycle.Term. All errors but refusals end the term: the next one begins with what the
// file and the database really hold.
func (t *term) Round(ctx context.Context) bool {
	err := t.round(ctx)
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

// round numbers what waits, looks at all logs, and signs those that have grown. A log that does not fit
// keeps the others from being signed, too: they are of one database. Batches that can't be numbered keep
// nothing from being signed.
func (t *term) round(ctx context.Context) error {
	began := t.role.now()
	paced := began.Sub(t.paced) >= t.role.pace-t.role.pace/4
	if paced {
		t.paced = began
		t.unnumbered = t.number(ctx)
	}
	err := t.examine(ctx)
	if !fails(err) {
		err = errors.Join(err, t.walk(ctx, paced && err == nil)) // of a log that does not fit, all is said
	}
	if err == nil {
		err = t.advance(ctx, began, paced)
	}
	return errors.Join(t.unnumbered, err)
}

// advance brings the checkpoints up to the logs, all of which fit. What was refused is tried again with each
// pace, however long the interval: a refusal ends when the log fits again.
func (t *term) advance(ctx context.Context, began time.Time, paced bool) error {
	// A ticker is never quite even.
	least := t.role.interval - min(t.role.interval, t.role.pace)/4
	for _, l := range t.led {
		if err := t.settle(ctx, l); err != nil {
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

// number gives all batches of the access log that wait their positions.
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

// walk tells what the patrols have found, and goes on with them, or not.
func (t *term) walk(ctx context.Context, on bool) error {
	var all []error
	for _, l := range t.led {
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
