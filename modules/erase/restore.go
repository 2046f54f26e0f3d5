package erase

import (
	"context"
	"fmt"

	"audittrail/modules/access"
	"audittrail/modules/event"
	"audittrail/modules/protect"
	"audittrail/modules/store"
)

const (
	// restoredBy is the principal of an erasure that a journal brought back.
	restoredBy = "journal"

	// together is how many entries of a journal are compared at once.
	together = 1000
)

// Restore carries out what a journal says was done and the databases do not know: one of them was replaced by a backup.
// All keys are destroyed when it returns; the rest is done as for any erasure. It returns the erasures.
func (s *Service) Restore(ctx context.Context, entries []Entry) (again []event.ID, err error) {
	for entries = merged(entries); len(entries) > 0; {
		n := min(len(entries), together)
		missing, err := s.missing(ctx, entries[:n])
		if err != nil {
			return again, err
		}
		for _, e := range missing {
			if err := s.restore(ctx, e); err != nil {
				return again, fmt.Errorf("repeat erasure %s of the journal: %w", e.Shred, err)
			}
			again = append(again, e.Shred)
		}
		entries = entries[n:]
	}
	return again, nil
}

// merged makes one entry of those of one erasure.
func merged(entries []Entry) (out []Entry) {
	at := map[event.ID]int{}
	for _, e := range entries {
		i, ok := at[e.Shred]
		if !ok {
			at[e.Shred], out = len(out), append(out, e)
			continue
		}
		out[i].Keys = union(out[i].Keys, e.Keys)
		if e.At.After(out[i].At) {
			out[i].At = e.At
		}
	}
	return out
}

// missing returns the entries of which one of the databases knows nothing.
func (s *Service) missing(ctx context.Context, entries []Entry) (missing []Entry, err error) {
	var (
		ids      []event.ID
		subjects []protect.SubjectHash
	)
	for _, e := range entries {
		ids, subjects = append(ids, e.Shred), append(subjects, e.Subject)
	}
	erased, err := s.deps.Keys.Erased(ctx, subjects)
	if err != nil {
		return nil, err
	}
	unknown, err := s.deps.Shreds.Missing(ctx, ids)
	if err != nil {
		return nil, err
	}
	gone := map[event.ID]bool{}
	for _, id := range unknown {
		gone[id] = true
	}
	for _, e := range entries {
		if at, ok := erased[e.Subject]; gone[e.Shred] || !ok || at.Before(e.At) {
			missing = append(missing, e)
		}
	}
	return missing, nil
}

func (s *Service) restore(ctx context.Context, e Entry) error {
	at := s.deps.Now()
	n := store.NewShred{ID: e.Shred, At: at, Subject: e.Subject, By: restoredBy, Reason: "a backup was restored"}
	entry, err := access.Erasure{ID: e.Shred, Subject: e.Subject, Principal: restoredBy}.Requested(at)
	if err != nil {
		return err
	}
	if err := s.deps.Shreds.Restore(ctx, n, e.At, e.Keys, entry); err != nil {
		return err
	}
	shred, err := s.deps.Shreds.Get(ctx, e.Shred)
	if err != nil || shred.State != store.ShredRequested { // somebody else was faster
		return err
	}
	return s.destroy(ctx, shred)
}
