package notary

import (
	"context"
	"errors"
	"time"

	"audittrail/modules/ledger"
)

// watch is what every notary does, whether it leads or waits to: it compares the logs with what it
// remembers of them, and remembers the checkpoints that others have signed with our keys. It only reads
// the database; it writes the memory, and nothing else.
type watch struct {
	role *Role
	logs []*watched
}

// watched is one log of a watch.
type watched struct {
	*signer
	rows reader
	head head // what is remembered: the last checkpoint that was signed, of size 0 before the first one

	seen int64 // the size of head, if this term has seen it kept in the database; else 0, or an earlier size

	// What the last look found.
	size   int64         // of the log
	kept   ledger.Signed // the checkpoint of head's size as the database keeps it; of size 0 where it does not
	unkept head          // what was remembered, but is not kept in the database: nobody else has seen it; of size 0 for nothing
	front  *frontier     // at head, proven; nil where the log has not grown beyond it
}

// watch begins with what is remembered. The memory is made now where there is none, so that a place that
// can't be written is known before anything is to be signed.
func (r *Role) watch(ctx context.Context, rows func(ledger.Log) reader) (*watch, error) {
	heads, found, err := r.recall()
	if err != nil {
		return nil, err
	}
	w := &watch{role: r}
	for _, log := range ledger.Logs() {
		w.logs = append(w.logs, &watched{signer: r.signers[log], rows: rows(log), head: heads[log]})
	}
	if !r.began {
		if err := w.begin(ctx); err != nil {
			return nil, err
		}
		r.began = true
	}
	if !found {
		if _, err := w.save(ctx); err != nil {
			return nil, err
		}
		r.log.InfoContext(ctx, "the notary's memory was not there and is written now", "stateFile", r.path)
	}
	return w, nil
}

// observe is a waiting process's look at all logs, from what is in the file now: others may share it.
func (r *Role) observe(ctx context.Context) error {
	w, err := r.watch(ctx, func(log ledger.Log) reader { return r.rows[log] })
	if err != nil {
		return err
	}
	err = w.examine(ctx)
	if errors.Is(err, errAhead) {
		return nil // another waiting process that shares the file was quicker: the next look begins with what it saved
	}
	return err
}

// examine looks at all logs, so that each refusal is told. All fit what was signed where it answers nil.
func (w *watch) examine(ctx context.Context) error {
	var all []error
	for _, l := range w.logs {
		all = append(all, asRefusal(l.log, w.look(ctx, l)))
	}
	return errors.Join(all...)
}

// covered keeps the age of the checkpoints true: what is remembered covered the log when it was signed, and
// still does where the log has not grown.
func (w *watch) covered(l *watched, now time.Time) {
	if l.head.Size < l.size {
		now = l.head.signedAt
	}
	w.role.metrics.cover(l.log, now)
}
