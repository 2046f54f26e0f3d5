package verify

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"audittrail/modules/ledger"
)

// All checkpoints of a database are of one ledger: its base origin, ledger.origin. Keys of several may be
// given, and a checkpoint of another ledger, signed by its own key, must prove nothing here: somebody may
// have copied it into this database, or exchanged the whole database for the other one.
//
// So one base decides, and it is taken from where it is hardest to change: the notary's memory
// (Options.Origin); else a checkpoint that was kept outside; else the keys, which then have to be of one
// ledger. The database itself decides nothing: one that was exchanged as a whole would decide wrongly.

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

// OriginError says that keys of several ledgers were given, and nothing tells which one the database is of.
type OriginError struct{ Ledgers []string }

func (e *OriginError) Error() string {
	return "keys of several ledgers were given, and nothing outside of the database tells which one it is of: give only the keys of one of " + strings.Join(e.Ledgers, ", ")
}

// decideOrigin decides which ledger the database has to be of.
func (r *run) decideOrigin() error {
	if r.origin != "" {
		return nil
	}
	given := slices.Sorted(maps.Keys(bases(r.opts.Keys)))
	if len(given) > 1 {
		return &OriginError{given}
	}
	r.origin = strings.Join(given, "")
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
