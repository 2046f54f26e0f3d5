package verify

import (
	"context"
	"errors"

	"audittrail/modules/ledger"
	"audittrail/modules/store"
)

// errReplaced ends a verification before it reads what may never end.
var errReplaced = errors.New("something else stands in the place of a table, and may answer anything, for ever: nothing is read through it")

// schema looks whether the catalogue leads statements to functions that are not PostgreSQL's, and whether
// the tables are what the migrations made, since rows can also be hidden by what they lie in. It answers the
// children of events.
func (r *run) schema(ctx context.Context, v *store.View) ([]store.EventTable, error) {
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
func (r *run) strays(ctx context.Context, v *store.View) error {
	for table, kind := range map[string]Kind{"ledger_batches": LedgerGap, "ledger_tiles": TileAltered, "ledger_checkpoints": CheckpointUntrusted, "ledger_signatures": CheckpointUntrusted} {
		err := v.Strays(ctx, table, func(s store.Stray) error {
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
