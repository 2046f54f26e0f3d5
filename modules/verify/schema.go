package verify

import (
	"context"
	"errors"
	"fmt"

	"audittrail/modules/ledger"
	"audittrail/modules/store/audit"
)

// errReplaced ends a verification before it reads what may never end.
var errReplaced = errors.New("something else stands in the place of a table, and may answer anything, for ever: nothing is read through it")

// schema looks whether the catalogue leads statements to functions that are not PostgreSQL's, and whether
// the tables are what the migrations made, since rows can also be hidden by what they lie in. It answers the
// children of events.
func (r *run) schema(ctx context.Context, v *audit.View) ([]audit.EventTable, error) {
	untrusted, err := v.Untrusted(ctx)
	if err := r.unread(err, Finding{Kind: SchemaAltered, Detail: "the catalogue of functions and types can't be read"}); err != nil {
		return nil, err
	}
	for _, what := range untrusted {
		r.findings.add(Finding{Kind: SchemaAltered, Detail: what})
	}
	odd, replaced, err := v.OddTables(ctx)
	if err := r.unread(err, Finding{Kind: SchemaAltered, Detail: "the catalogue can't be read"}); err != nil {
		return nil, err
	}
	for _, what := range odd {
		r.findings.add(Finding{Kind: SchemaAltered, Log: ledger.Events, Detail: what})
	}
	if replaced {
		return nil, errReplaced
	}
	tables, err := v.EventTables(ctx)
	if err := r.unread(err, Finding{Kind: SchemaAltered, Detail: "the partitions of events can't be read"}); err != nil {
		return nil, err
	}
	for _, t := range tables {
		if t.Odd != "" {
			r.blind.Store(true)
			r.findings.add(Finding{Kind: SchemaAltered, Log: ledger.Events, Detail: "the partition " + t.Name +
				" of events is none that the migrations make (" + t.Odd + "): its rows were not looked at, and nothing is said of them"})
		}
	}
	return tables, nil
}

// strays reports rows that no walk over a log meets.
func (r *run) strays(ctx context.Context, v *audit.View) error {
	for table, kind := range map[string]Kind{"ledger_batches": LedgerGap, "ledger_tiles": TileAltered, "ledger_checkpoints": CheckpointUntrusted, "ledger_signatures": CheckpointUntrusted} {
		err := v.Strays(ctx, table, func(s audit.Stray) error {
			log, _ := ledger.ParseLog(s.Log) // "" for one that is none
			r.findings.add(Finding{Kind: kind, Log: log, Detail: "in " + table + ": " + s.Detail})
			return nil
		})
		if err := r.unread(err, Finding{Kind: kind, Log: ledger.Events, Detail: table + " can't be read in whole"}); err != nil {
			return err
		}
	}
	return nil
}

// BehindError says that the server is a replica that lacks what was signed, so that nothing can be said yet:
// it may be behind its primary.
type BehindError struct {
	Log           ledger.Log
	Source        string // of the checkpoint that the replica lacks
	Entries, Kept int64  // entries of the replica's log, and the size of its last checkpoint
	Signed        int64  // the size of the checkpoint that it lacks
}

func (e *BehindError) Error() string {
	return fmt.Sprintf("this server is a replica that is behind: its %s log has %d entries and checkpoints up to size %d, and the checkpoint in %s is of size %d: verify again once it has caught up, or verify the primary", e.Log, e.Entries, e.Kept, e.Source, e.Signed)
}

// checkReplica returns a *BehindError for a replica that lacks entries which were signed, or checkpoints that
// were kept. Only the server says that it is a replica: one that lies is never verified, and never intact.
func (r *run) checkReplica(ctx context.Context, v *audit.View) error {
	replica, err := v.Replica(ctx)
	if err != nil || !replica {
		return passable(err)
	}
	for _, log := range ledger.Logs() {
		entries, kept, err := v.Sizes(ctx, log)
		if err != nil {
			return passable(err)
		}
		for _, o := range r.outside[log] {
			if entries < o.size || kept < o.previous {
				return &BehindError{Log: log, Source: o.source, Entries: entries, Kept: kept, Signed: o.size}
			}
		}
	}
	return nil
}
