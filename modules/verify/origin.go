package verify

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"audittrail/modules/ledger"
	"audittrail/modules/store"
)

// All checkpoints of a database are of one ledger: its base origin, ledger.origin. Keys of several may be
// given, and a checkpoint of another ledger, signed by its own key, must prove nothing here: somebody may
// have copied it into this database, or exchanged the whole database for the other one.
//
// So one base decides, and it is taken from where it is hardest to change: the notary's memory
// (Options.Origin); else a checkpoint that was kept outside; else the keys, if all are of one ledger. Only
// if none of them tells does the database itself, by its first trusted checkpoint; the Report says so then,
// since a database that was exchanged as a whole would decide so too.

// baseOf is the base origin of a log's checkpoints or key; ok is false where it is no log of ours.
func baseOf(origin string) (base string, ok bool) {
	log, ok := ledger.LogOf(origin)
	return strings.TrimSuffix(origin, log.Origin("")), ok
}

// bases are the ledgers that the keys given are of.
func bases(keys ledger.Keys) map[string]bool {
	found := map[string]bool{}
	for _, id := range keys.IDs() {
		if base, ok := baseOf(id[:strings.LastIndexByte(id, '+')]); ok {
			found[base] = true
		}
	}
	return found
}

// decideOrigin finds out which ledger the database has to be of.
func (r *run) decideOrigin(ctx context.Context, v *store.View) error {
	if r.origin != "" {
		return nil
	}
	given := bases(r.opts.Keys)
	if len(given) == 1 {
		for base := range given {
			r.origin = base
		}
		return nil
	}
	for _, log := range ledger.Logs() {
		if r.origin != "" {
			break
		}
		if err := r.firstOrigin(ctx, v, log); err != nil {
			return err
		}
	}
	if r.origin != "" {
		r.notice(Notice{Detail: fmt.Sprintf("Keys of %d ledgers were given. That this database is the one of %s is told by nothing but its own first checkpoint", len(given), r.origin)})
	}
	return nil
}

// firstOrigin takes the origin of a log's first trusted checkpoint.
func (r *run) firstOrigin(ctx context.Context, v *store.View, log ledger.Log) error {
	for after, more := int64(-1), true; more; {
		list, others, err := v.Checkpoints(ctx, log, after, checkpointsAtATime)
		if err != nil {
			return passable(err) // the walk reports it
		}
		for _, c := range list {
			after = c.Size
			signed, err := ledger.OpenCheckpoint([]byte(c.Note), r.opts.Keys)
			if base, ok := baseOf(signed.Origin); err == nil && ok {
				r.origin = base
				return nil
			}
		}
		more = others
	}
	return nil
}

var errOtherLog = errors.New("it is signed for another log")

// checkOrigin says whether a checkpoint is one of a log of this database.
func (r *run) checkOrigin(log ledger.Log, origin string) error {
	base, ok := baseOf(origin)
	if of, _ := ledger.LogOf(origin); !ok || of != log {
		return errOtherLog
	}
	if r.origin != "" && base != r.origin {
		return &otherLedgerError{base: base, want: r.origin}
	}
	return nil
}

// otherLedgerError is of a checkpoint that was signed for another ledger.
type otherLedgerError struct{ base, want string }

func (e *otherLedgerError) Error() string {
	return fmt.Sprintf("it is signed for another ledger: %s, and not %s", e.base, e.want)
}

// noteForeign counts a checkpoint of another ledger, and says whether err is that.
func (h *head) noteForeign(size int64, err error) bool {
	var other *otherLedgerError
	if !errors.As(err, &other) {
		return false
	}
	sizes := h.foreign[other.base]
	if sizes == nil && len(h.foreign) < unknownKept {
		sizes = &unknownSizes{}
		h.foreign[other.base] = sizes
	}
	if sizes != nil {
		sizes.add(size)
	}
	return sizes != nil
}

// explainForeign reports the checkpoints of each other ledger in one finding: a database that was exchanged
// has nothing else.
func (r *run) explainForeign(log ledger.Log, h *head) {
	for _, base := range slices.Sorted(maps.Keys(h.foreign)) {
		said := fmt.Sprintf("signed for another ledger: %s, and not %s. Either this is another ledger's database, or they were put into this one", base, r.origin)
		r.findings.add(Finding{Kind: CheckpointUntrusted, Log: log, Detail: h.foreign[base].text(said)})
	}
}
