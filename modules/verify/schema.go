package verify

import (
	"context"
	"errors"
	"fmt"

	"audittrail/modules/ledger"
	"audittrail/modules/store/audit"
)

// errReplaced ends a verification before it reads from something that may never end.
var errReplaced = errors.New("something else is in the place of a table, and reading it may never end: the verification stops here")

// schema checks that the catalogue leads statements to PostgreSQL's own functions only, and that the tables
// are what the migrations made. It returns the partitions of events.
func (r *run) schema(ctx context.Context, v *audit.View) ([]audit.EventTable, error) {
	odd := func(log ledger.Log, list []string, err error, unread string) error {
		if passable(err) != nil {
			return err
		}
		for _, what := range list {
			r.findings.add(Finding{Kind: SchemaAltered, Log: log, Detail: what})
		}
		return r.unread(err, Finding{Kind: SchemaAltered, Log: log, Detail: unread + " can't be read"})
	}
	untrusted, err := v.Untrusted(ctx)
	if err := odd("", untrusted, err, "the catalogue of functions and types"); err != nil {
		return nil, err
	}
	oddTables, replaced, err := v.OddTables(ctx)
	if err := odd(ledger.Events, oddTables, err, "the catalogue"); err != nil {
		return nil, err
	}
	if replaced {
		return nil, errReplaced
	}
	tables, err := v.EventTables(ctx)
	if err := odd(ledger.Events, nil, err, "the partitions of events"); err != nil {
		return nil, err
	}
	for _, t := range tables {
		if t.Odd != "" {
			r.blind.Store(true)
			r.findings.add(Finding{Kind: SchemaAltered, Log: ledger.Events, Detail: "the partition " + t.Name +
				" of events is not as the migrations make it (" + t.Odd + "): its rows were not examined"})
		}
	}
	return tables, nil
}

// strays reports rows that no walk over a log comes across.
func (r *run) strays(ctx context.Context, v *audit.View) error {
	for table, kind := range map[string]Kind{"ledger_batches": LedgerGap, "ledger_tiles": TileAltered, "ledger_checkpoints": CheckpointUntrusted, "ledger_signatures": CheckpointUntrusted} {
		err := v.Strays(ctx, table, func(name, what string) {
			log, _ := ledger.ParseLog(name) // "" if there is no such log
			r.findings.add(Finding{Kind: kind, Log: log, Detail: "in " + table + ": " + what})
		})
		if err := r.unread(err, Finding{Kind: kind, Log: ledger.Events, Detail: table + " can't be read completely"}); err != nil {
			return err
		}
	}
	return nil
}

// BehindError says that the server is a replica without something that was signed. Nothing can be said of
// it yet: it may be behind its primary.
type BehindError struct {
	Log           ledger.Log
	Source        string // of the checkpoint that shows it
	Entries, Kept int64  // entries of the replica's log, and the size of its last checkpoint
	Signed        int64  // the size of the checkpoint from Source
}

func (e *BehindError) Error() string {
	return fmt.Sprintf("this server is a replica that is behind: its %s log has %d entries and checkpoints up to size %d, and the checkpoint in %s is of size %d: verify again once it has caught up, or verify the primary", e.Log, e.Entries, e.Kept, e.Source, e.Signed)
}

// checkReplica returns a *BehindError for a replica that lacks signed entries, or checkpoints that were in the
// database. Only the server says that it is a replica. One that lies is never verified, so never intact.
func (r *run) checkReplica(ctx context.Context, v *audit.View) error {
	for _, log := range ledger.Logs() {
		replica, entries, kept, err := v.Standing(ctx, log)
		if err != nil || !replica {
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
