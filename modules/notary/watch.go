package notary

import (
	"context"
	"errors"
	"time"

	"audittrail/modules/ledger"
)

// watch is what every notary does, whether it leads or waits. It compares each log with its head, and adopts the
// checkpoints that other notaries have signed with our keys. It only reads the database, and writes only the
// memory.
type watch struct {
	role *Role
	logs []*watched
}

// watched is one log of a watch.
type watched struct {
	*signer
	rows reader
	head head // the last signed checkpoint, as remembered; of size 0 before the first one

	seen int64 // the size of the last head that this term has seen in the database; 0 if there was none

	// What the last look found:
	size   int64         // of the log
	kept   ledger.Signed // the checkpoint of head's size in the database; of size 0 if there is none
	unkept head          // head, if the database does not have it, so that nobody else has seen it; else of size 0
	front  *frontier     // at head, proven; nil if the log has not grown since
}

// watch returns a watch with the remembered heads. If there is no state file yet, it writes one, so that a path
// that can't be written fails before anything is signed.
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
		r.log.InfoContext(ctx, "the notary's state file did not exist and was written", "stateFile", r.path)
	}
	return w, nil
}

// observe examines all logs for a waiting process. It reads the state file again, since other processes may share it.
func (r *Role) observe(ctx context.Context) error {
	w, err := r.watch(ctx, func(log ledger.Log) reader { return r.rows[log] })
	if err != nil {
		return err
	}
	err = w.examine(ctx)
	if errors.Is(err, errAhead) {
		return nil // another waiting process has written the file: the next look begins with what it saved
	}
	return err
}

// examine looks at all logs, and returns all refusals. It returns nil if all logs fit what was signed.
func (w *watch) examine(ctx context.Context) error {
	var all []error
	for _, l := range w.logs {
		all = append(all, asRefusal(l.log, w.look(ctx, l)))
	}
	return errors.Join(all...)
}

// covered updates the metric of the checkpoint's age: the head covered the log when it was signed, and still does
// if the log has not grown.
func (w *watch) covered(l *watched, now time.Time) {
	if l.head.Size < l.size {
		now = l.head.signedAt
	}
	w.role.metrics.cover(l.log, now)
}
