package notary

import (
	"context"
	"errors"
	"fmt"
	"io/fs"

	"audittrail/modules/ledger"
)

// recall reads the memory and verifies that these keys have signed it; found is false where there is none.
// What this process has read or saved before is not forgotten where the file is lost, or put back.
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
		return nil, false, fmt.Errorf("notary.state_file: not what this process remembers: %w", err)
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
			err = fmt.Errorf("%w; while keys are rotated ledger.signing_key names the old one behind the new one; if it was lost, ledger.retired_keys its verifier key", err)
		}
		if err != nil {
			return nil, err
		}
		heads[l.Log] = head{Signed: signed, previous: l.Previous, signedAt: l.SignedAt}
	}
	return heads, nil
}

// save writes what is remembered of all logs. ahead tells that another process has put more into the file
// than this one knew of; nothing is written then.
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

// begin tells, when a process first looks, that it remembers nothing of a log whose checkpoints are there.
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
			w.role.log.WarnContext(ctx, "the notary has no memory of its own of this log, so it begins with the checkpoints in the database; "+
				"it can't tell whether that was rolled back", "log", l.log, "stateFile", w.role.path)
		}
	}
	return nil
}
