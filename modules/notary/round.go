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
	role    *Role
	session session
	origin  string
	logs    []*logTerm
	paced   time.Time // when batches were numbered, and the patrols went on
}

// logTerm is one log's part of a term.
type logTerm struct {
	*signer
	rows   rows
	head   head      // what was signed last; its size is 0 before the first checkpoint
	began  time.Time // when that round began
	patrol patrol
}

// open begins a term with what the memory holds.
func (r *Role) open(ctx context.Context, s session) (*term, error) {
	t := &term{role: r, session: s}
	for _, log := range ledger.Logs() {
		t.logs = append(t.logs, &logTerm{signer: r.signers[log], rows: s.Ledger(log), patrol: patrol{lap: r.lap}})
	}
	t.origin = originOf(t.logs[0].signer)
	heads, found, err := r.recall(t.origin)
	if err != nil {
		return nil, err
	}
	for _, l := range t.logs {
		l.head = heads[l.log]
	}
	if !found {
		if err := t.begin(ctx); err != nil {
			return nil, err
		}
	}
	r.log.InfoContext(ctx, "this process signs the checkpoints", "origin", t.origin, "keys", t.logs[0].keys.IDs())
	return t, nil
}

// begin makes the memory. It is written now, so that a place that can't be written is known before
// anything is signed.
func (t *term) begin(ctx context.Context) error {
	for _, l := range t.logs {
		_, ok, err := l.rows.CheckpointUpTo(ctx, maxSize)
		if err != nil {
			return err
		}
		if ok {
			t.role.log.WarnContext(ctx, "the notary has no memory of its own, so it begins with the checkpoints in the database; "+
				"it can't tell whether that was rolled back", "log", l.log)
		}
	}
	return t.save()
}

func originOf(s *signer) string { return s.origin[:len(s.origin)-len(s.log.Origin(""))] }

// round numbers what waits, looks at all logs, and signs those that have grown. A log that does not fit
// keeps the others from being signed, too: they are of one database.
func (t *term) round(ctx context.Context) error {
	began := t.role.now()
	paced := began.Sub(t.paced) >= t.role.pace-t.role.pace/4
	if paced {
		t.paced = began
		if err := t.number(ctx); err != nil {
			return err
		}
	}
	sizes, err := t.examine(ctx)
	if err == nil || refused(err) {
		err = errors.Join(err, t.walk(ctx, paced))
	}
	if err != nil {
		return t.count(err)
	}
	// A ticker is never quite even.
	least := t.role.interval - min(t.role.interval, t.role.pace)/4
	for i, l := range t.logs {
		if sizes[i] > l.head.Size && began.Sub(l.began) >= least {
			l.began = began
			if err := t.sign(ctx, l, sizes[i]); err != nil {
				return t.count(asRefusal(l.log, err))
			}
		}
		if sizes[i] == l.head.Size {
			t.role.metrics.cover(l.log)
		}
	}
	return nil
}

// number gives all batches of the access log that wait their positions.
func (t *term) number(ctx context.Context) error {
	const step = 1000 // of store.NumberPending
	for {
		n, err := t.session.NumberPending(ctx)
		if err != nil || n < step {
			return err
		}
	}
}

// examine answers the logs' sizes, once all have been found to fit what was signed. All are looked at, so
// that each refusal is told.
func (t *term) examine(ctx context.Context) ([]int64, error) {
	sizes := make([]int64, len(t.logs))
	var all []error
	for i, l := range t.logs {
		size, err := l.rows.Size(ctx)
		if err == nil {
			sizes[i] = size
			t.role.metrics.size.WithLabelValues(string(l.log)).Set(float64(size))
			err = asRefusal(l.log, t.fit(ctx, l, size))
		}
		if err != nil && !refused(err) {
			return nil, err
		}
		all = append(all, err)
	}
	return sizes, errors.Join(all...)
}

// walk tells what the patrols have found, and goes on with them.
func (t *term) walk(ctx context.Context, paced bool) error {
	var all []error
	for _, l := range t.logs {
		err := l.patrol.fault
		if paced {
			var done bool
			if done, err = l.patrol.step(ctx, l, t.role.now()); err != nil && !refused(err) {
				return err
			}
			if done {
				t.role.metrics.patrols.WithLabelValues(string(l.log)).Inc()
			}
		}
		all = append(all, err)
	}
	return errors.Join(all...)
}

// count counts refusals.
func (t *term) count(err error) error {
	if joined, ok := err.(interface{ Unwrap() []error }); ok { // of errors.Join
		for _, one := range joined.Unwrap() {
			_ = t.count(one)
		}
		return err
	}
	if r := (*refusal)(nil); errors.As(err, &r) {
		t.role.metrics.refusals.WithLabelValues(string(r.log), string(r.reason)).Inc()
	}
	return err
}

// save writes the whole memory.
func (t *term) save() error {
	s := State{Origin: t.origin, Logs: []LogState{}}
	for _, l := range t.logs {
		if l.head.Size > 0 {
			s.Logs = append(s.Logs, LogState{Log: l.log, Checkpoint: string(l.head.Note), Previous: l.head.previous, SignedAt: l.head.signedAt})
		}
	}
	return t.role.memory.Save(s)
}
