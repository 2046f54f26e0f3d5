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
// are what the migrations made. It returns the pages of all partitions.
func (r *run) schema(ctx context.Context, v *audit.View) (pages []audit.Pages, err error) {
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
	for _, log := range ledger.Logs() {
		partitions, err := v.Partitions(ctx, log)
		if err := odd(log, nil, err, "the partitions of the log"); err != nil {
			return nil, err
		}
		for _, p := range partitions {
			if p.Odd != "" {
				r.blind.Store(true)
				r.findings.add(Finding{Kind: SchemaAltered, Log: log, Detail: "the partition " + p.Table +
					" of " + string(log) + " is not as the migrations make it (" + p.Odd + "): its rows were not examined"})
			}
		}
		if log == ledger.Events {
			r.partitions = partitions
		}
		pages = append(pages, audit.AllPages(partitions)...)
	}
	return pages, nil
}

// checkReplica returns an error for a replica that lacks signed entries, or checkpoints that were in the database.
// Nothing can be said of it yet: it may be behind its primary. Only the server says that it is a replica. One that lies
// is never verified, so never intact.
func (r *run) checkReplica(ctx context.Context, v *audit.View) error {
	for _, log := range ledger.Logs() {
		replica, entries, kept, err := v.Standing(ctx, log)
		if err != nil || !replica {
			return passable(err)
		}
		for _, o := range r.outside[log] {
			if entries < o.size || kept < o.previous {
				return fmt.Errorf("this server is a replica that is behind: its %s log has %d entries and checkpoints up to size %d, and the checkpoint in %s is of size %d: verify again once it has caught up, or verify the primary", log, entries, kept, o.source, o.size)
			}
		}
	}
	return nil
}
