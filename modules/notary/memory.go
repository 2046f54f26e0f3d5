package notary

import (
	"context"
	"errors"
	"fmt"
	"io/fs"

	"audittrail/modules/ledger"
)

// recall reads the memory and verifies that our keys have signed it; found is false if there is none. It adds what
// this process has read or saved before, in case the file was removed or replaced by an older one.
func (r *Role) recall() (heads map[ledger.Log]head, found bool, err error) {
	s, err := r.memory.Load()
	if errors.Is(err, fs.ErrNotExist) {
		s, err = State{Origin: r.origin}, nil
	} else {
		found = true
	}
	if err != nil {
		return nil, false, err
	}
	if _, err = r.verify(s); err != nil {
		return nil, false, fmt.Errorf("notary.state_file: %w", err)
	}
	if s, err = s.merge(r.known); err != nil {
		return nil, false, fmt.Errorf("notary.state_file: it contradicts what this process remembers: %w", err)
	}
	r.known = s
	heads, err = r.verify(s)
	return heads, found, err
}

// verify opens the checkpoints of a state.
func (r *Role) verify(s State) (map[ledger.Log]head, error) {
	if err := s.check(r.origin); err != nil {
		return nil, err
	}
	heads := make(map[ledger.Log]head)
	for _, l := range s.Logs {
		signed, err := r.signers[l.Log].open([]byte(l.Checkpoint))
		var bad *ledger.CheckpointError
		if errors.As(err, &bad) && bad.Kind == ledger.UnknownKey {
			err = fmt.Errorf("%w; during a rotation put the old key after the new one in ledger.signing_key; if the old key was lost, put its verifier key into ledger.retired_keys", err)
		}
		if err != nil {
			return nil, err
		}
		heads[l.Log] = head{Signed: signed, previous: l.Previous, signedAt: l.SignedAt}
	}
	return heads, nil
}

// save writes the heads of all logs to the memory. If another process has written more than this one knew, ahead
// is true and nothing is written.
func (w *watch) save(ctx context.Context) (ahead bool, err error) {
	s := State{Format: stateFormat, Origin: w.role.origin, Logs: []LogState{}}
	for _, l := range w.logs {
		if l.head.Size > 0 {
			s.Logs = append(s.Logs, LogState{Log: l.log, Checkpoint: string(l.head.Note), Previous: l.head.previous, SignedAt: l.head.signedAt})
		}
	}
	if ahead, err = w.role.memory.Save(ctx, w.role.known, s); err == nil && !ahead {
		w.role.known = s
	}
	return ahead, err
}

// begin reports, at the first look of a process, each log that has checkpoints but no head in the memory.
func (w *watch) begin(ctx context.Context) error {
	for _, l := range w.logs {
		if l.head.Size > 0 {
			continue
		}
		_, ok, err := l.rows.CheckpointUpTo(ctx, maxSize)
		if err != nil {
			return err
		}
		if ok {
			w.role.metrics.forgot.Set(1)
			w.role.log.WarnContext(ctx, "the notary has no state of this log, so it begins with the checkpoints in the database; "+
				"it can't tell whether the database was rolled back", "log", l.log, "stateFile", w.role.path)
		}
	}
	return nil
}
