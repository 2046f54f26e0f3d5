package verify

import (
	"cmp"
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
// is a finding, one for each key. Likewise the checkpoints of each other ledger are one finding: a database
// that was exchanged has nothing else.

// asideKind says why a checkpoint is summed up with others.
type asideKind int

const (
	byOtherLedger asideKind = iota
	unknownWrong            // signed by keys that were not given, for another root
	unknownUncovered
	unknownCovered
)

// group is why checkpoints are put aside: by whom, in words that are the same for all of them.
type group struct {
	kind asideKind
	name string // of the keys, or the base origin
}

// sizes sums up the checkpoints of a group.
type sizes struct{ count, first, last int64 }

func (s *sizes) text(said string) string {
	if s.count == 1 {
		return fmt.Sprintf("one checkpoint, of size %d, is %s", s.last, said)
	}
	return fmt.Sprintf("%d checkpoints of sizes from %d to %d are %s", s.count, s.first, s.last, said)
}

// asideKept bounds how many groups are told apart.
const asideKept = 50

// putAside counts checkpoints of sizes up to last.
func (h *head) putAside(g group, s sizes) {
	if h.aside[g] == nil && len(h.aside) >= asideKept {
		g.name = "others"
	}
	if sum := h.aside[g]; sum != nil {
		sum.count, sum.last = sum.count+s.count, s.last
	} else {
		h.aside[g] = &s
	}
}

// noteUnknown counts a checkpoint by an unknown key once its root was compared.
func (h *head) noteUnknown(c trusted, fits bool) {
	kind := unknownWrong
	if fits && c.size <= h.proven {
		kind = unknownCovered
	} else if fits {
		kind = unknownUncovered
	}
	h.putAside(group{kind, c.unknown}, sizes{1, c.size, c.size})
}

// prove notes that a trusted checkpoint fits: it covers all that were read before it.
func (h *head) prove(size int64) {
	h.proven = max(h.proven, size)
	for g, sum := range h.aside {
		if g.kind == unknownUncovered && sum.last <= h.proven {
			delete(h.aside, g)
			h.putAside(group{unknownCovered, g.name}, *sum)
		}
	}
}

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

// tellAside reports the checkpoints that were put aside.
func (r *run) tellAside(log ledger.Log, h *head) {
	groups := slices.SortedFunc(maps.Keys(h.aside), func(a, b group) int {
		return cmp.Or(cmp.Compare(a.kind, b.kind), strings.Compare(a.name, b.name))
	})
	for _, g := range groups {
		sum, by := h.aside[g], fmt.Sprintf("signed by %s only, which was not given", g.name)
		switch g.kind {
		case byOtherLedger:
			r.findings.add(Finding{Kind: CheckpointUntrusted, Log: log, Detail: sum.text(fmt.Sprintf(
				"signed for another ledger: %s, and not %s. Either this is another ledger's database, or they were put into this one", g.name, r.origin))})
		case unknownWrong:
			r.findings.add(Finding{Kind: CheckpointUntrusted, Log: log, Detail: sum.text(by) +
				", and the root that each names is not this log's: it or the log was changed. Given with --key, the key shows which"})
		case unknownUncovered:
			if h.done { // else what covers it may not have been come to
				r.findings.add(Finding{Kind: CheckpointUntrusted, Log: log, Detail: sum.text(by) +
					": give it with --key. The root that each names is this log's, but no signature by a given key covers it"})
			}
		case unknownCovered:
			r.notice(Notice{Log: log, Detail: sum.text(by) +
				". The root that each names is this log's, and a later checkpoint by a given key covers it. Give the key with --key to have the signatures checked too"})
		}
	}
}
