package verify

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"audittrail/modules/ledger"
	"audittrail/modules/store"
)

// A checkpoint that is signed by a key which was not given is something else than one that was changed:
// keys are rotated, and an auditor may have the new one only. Its signature can't be checked, but its root
// can be compared. Where that is the log's root, and a later checkpoint that can be trusted covers it,
// history up to there is proven without it, and that its key was not given is worth a notice. Otherwise it
// is a finding, one for each key.

// unknownKey sums up the checkpoints that one key, or the same ones together, signed and no given one.
type unknownKey struct {
	covered, uncovered, wrong unknownSizes
}

type unknownSizes struct{ count, first, last int64 }

func (s *unknownSizes) add(size int64) {
	if s.count == 0 {
		s.first = size
	}
	s.count++
	s.last = size
}

// unknownKept bounds how many unknown keys are told apart.
const unknownKept = 50

// byUnknownKey reads a checkpoint whose keys were not given: which they are, and the root that it names.
func (r *run) byUnknownKey(log ledger.Log, c *store.Checkpoint, fault error) (t trusted, ok bool, err error) {
	var bad *ledger.CheckpointError
	if !errors.As(fault, &bad) || bad.Kind != ledger.UnknownKey {
		return trusted{}, false, fault
	}
	checkpoint, err := ledger.ParseCheckpoint(c.Note[:strings.LastIndex(c.Note, "\n\n")+1])
	if err != nil {
		return trusted{}, false, fmt.Errorf("the checkpoint %w", err)
	}
	if err := r.checkOrigin(log, checkpoint.Origin); err != nil {
		return trusted{}, false, err
	}
	if checkpoint.Size != c.Size || checkpoint.Root != c.Root {
		return trusted{}, false, errOtherRow
	}
	own := slices.DeleteFunc(slices.Clone(bad.Keys), func(id string) bool { return !strings.HasPrefix(id, checkpoint.Origin+"+") })
	if len(own) == 0 { // but only witnesses have
		return trusted{}, false, fault
	}
	slices.Sort(own)
	return trusted{size: c.Size, root: c.Root, unknown: strings.Join(own, " and ")}, true, nil
}

// noteUnknown counts a checkpoint by an unknown key once its root was compared.
func (h *head) noteUnknown(c trusted, fits bool) {
	key := h.unknown[c.unknown]
	if key == nil {
		if len(h.unknown) >= unknownKept {
			c.unknown = "other keys"
		}
		if key = h.unknown[c.unknown]; key == nil {
			key = &unknownKey{}
			h.unknown[c.unknown] = key
		}
	}
	switch {
	case !fits:
		key.wrong.add(c.size)
	case c.size <= h.proven:
		key.covered.add(c.size)
	default:
		key.uncovered.add(c.size)
	}
}

// prove notes that a trusted checkpoint fits: it covers all that were read before it.
func (h *head) prove(size int64) {
	h.proven = max(h.proven, size)
	for _, key := range h.unknown {
		if key.uncovered.count == 0 || key.uncovered.last > h.proven {
			continue
		}
		if key.covered.count == 0 {
			key.covered.first = key.uncovered.first
		}
		key.covered.count += key.uncovered.count
		key.covered.last = key.uncovered.last
		key.uncovered = unknownSizes{}
	}
}

// explainUnknown reports what is signed by keys that were not given.
func (r *run) explainUnknown(log ledger.Log, h *head) {
	for _, name := range slices.Sorted(maps.Keys(h.unknown)) {
		key, by := h.unknown[name], fmt.Sprintf("signed by %s only, which was not given", name)
		if n := key.wrong; n.count > 0 {
			r.findings.add(Finding{Kind: CheckpointUntrusted, Log: log, Detail: n.text(by) +
				", and the root that each names is not this log's: it or the log was changed. Given with --key, the key shows which"})
		}
		if n := key.uncovered; n.count > 0 && h.done { // else what covers it may not have been come to
			r.findings.add(Finding{Kind: CheckpointUntrusted, Log: log, Detail: n.text(by) +
				": give it with --key. The root that each names is this log's, but no signature by a given key covers it"})
		}
		if n := key.covered; n.count > 0 {
			r.notice(Notice{Log: log, Detail: n.text(by) +
				". The root that each names is this log's, and a later checkpoint by a given key covers it. Give the key with --key to have the signatures checked too"})
		}
	}
}

func (s unknownSizes) text(said string) string {
	if s.count == 1 {
		return fmt.Sprintf("one checkpoint, of size %d, is %s", s.last, said)
	}
	return fmt.Sprintf("%d checkpoints of sizes from %d to %d are %s", s.count, s.first, s.last, said)
}
