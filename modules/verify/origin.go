package verify

import (
	"maps"
	"slices"
	"strings"

	"audittrail/modules/ledger"
)

// All checkpoints of a database belong to one ledger, by its base origin (ledger.origin). Keys of several
// ledgers may be given, and a checkpoint of another ledger must prove nothing here, even with a valid
// signature: somebody may have copied it into this database, or replaced the whole database.
//
// So one base origin decides. It comes from the place that is hardest to change: the notary's state file
// (Options.Origin); else a checkpoint from outside the database; else the keys, which then must be of one
// ledger. It never comes from the database, which may be the wrong one.

// OriginError says that keys of several ledgers were given, and nothing tells which one the database is of.
type OriginError struct{ Ledgers []string }

func (e *OriginError) Error() string {
	return "keys of several ledgers were given, and nothing outside the database tells which one it is of: give only the keys of one of " + strings.Join(e.Ledgers, ", ")
}

// decideOrigin decides which ledger the database must be of.
func (r *run) decideOrigin() error {
	if r.origin != "" {
		return nil
	}
	bases := map[string]bool{}
	for _, id := range r.opts.Keys.IDs() {
		origin := id[:strings.LastIndexByte(id, '+')]
		if log, ok := ledger.LogOf(origin); ok {
			bases[strings.TrimSuffix(origin, log.Origin(""))] = true
		}
	}
	given := slices.Sorted(maps.Keys(bases))
	if len(given) > 1 {
		return &OriginError{given}
	}
	r.origin = strings.Join(given, "")
	return nil
}
