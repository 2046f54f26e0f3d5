package verify

import (
	"context"
	"fmt"
	"time"

	"audittrail/modules/event"
	"audittrail/modules/ledger"
)

// extent says how far one log is what was signed.
type extent struct {
	log         ledger.Log
	done        bool  // the whole log was read
	total       int64 // the log's size: the end of its last batch
	checkpoints int64
	unreadable  bool  // some checkpoints could not be read
	trusted     int64 // checkpoints, also from outside, that a given key has signed
	proven      int64 // the largest size at which the leaves give a trusted root

	unsignedSince time.Time // when the oldest batch after proven was recorded; zero if there is none
	unsignedUntil time.Time // when the newest one was

	seen    map[string]int64  // rows that the walk came across, by table; negative if it may have missed some
	unknown map[string]*sizes // checkpoints of unknown keys, by the keys, whose root is the log's
	wrong   []unfit           // trusted checkpoints that do not fit, in order; at most wrongKept
}

// unfit is a trusted checkpoint that does not fit.
type unfit struct {
	trusted
	after int64 // the largest size below it that fits
}

const wrongKept = 1000

// reportExtent reports how a log differs from what was signed.
func (r *run) reportExtent(e *extent) {
	r.reportUnsigned(e)
	r.reportUnknown(e)
	told := map[Kind]bool{} // of checkpoints in the database: the first one says what the others would
	for _, c := range e.wrong {
		f := Finding{Log: e.log}
		name := "the checkpoint"
		if c.source != "" {
			name += " in " + c.source
		}
		switch {
		case c.size > e.total:
			f.Kind, f.Detail = LogRolledBack, fmt.Sprintf("%s signed %d entries, the log has %d: the last ones were deleted, or the database was put back to an earlier state", name, c.size, e.total)
			f = f.within(e.total, c.size)
		case c.size < e.proven:
			f.Kind, f.Detail = CheckpointForked, fmt.Sprintf("%s of size %d was signed for another history, though one of size %d fits this one: the signing key signed two histories", name, c.size, e.proven)
		default:
			f.Kind, f.Detail = LogAltered, fmt.Sprintf("%s of size %d is not of the log as it is now: entries at these positions were changed after it was signed", name, c.size)
			f = f.within(c.after, c.size)
		}
		if c.source != "" || f.Kind == CheckpointForked || !told[f.Kind] {
			r.findings.add(f)
		}
		told[f.Kind] = true
	}
}

// DefaultMaxUnsigned is how much time the entries after the last signature may span, unless Options say
// otherwise. A notary signs within seconds.
const DefaultMaxUnsigned = 10 * time.Minute

// reportUnsigned reports a log that has no trusted signature, or a long unsigned tail. It reports no tail if
// signed roots do not fit, since that is the real finding. A log without any checkpoint whose entries span
// little time is new, and not signed yet.
//
// Somebody who deletes all checkpoints above a size may rewrite everything above it. What is left looks like
// a log whose last entries are not signed yet. An honest log has few such entries, so a long unsigned tail is
// a finding.
//
// The tail is measured from its oldest to its newest entry, by their own times. Comparing with the clock
// would accuse a backup that is verified a year later, or a system that was stopped before the next
// signature. Comparing with signed entries would mix the clocks of two machines. Whoever rewrites the tail
// can rewrite its times too; then only checkpoints from outside the database help.
func (r *run) reportUnsigned(e *extent) {
	span := e.unsignedUntil.Sub(e.unsignedSince)
	switch {
	case !e.done || e.total == 0 || e.unreadable:
	case e.trusted+e.checkpoints == 0 && !e.unsignedSince.IsZero() && span <= r.opts.MaxUnsigned:
	case e.trusted == 0:
		r.findings.add(Finding{Kind: LogUnsigned, Log: e.log, Detail: fmt.Sprintf(
			"no given key has signed any checkpoint, so nothing proves the log's %d entries", e.total)})
	case e.proven < e.total && len(e.wrong) == 0 && !e.unsignedSince.IsZero() && span > r.opts.MaxUnsigned:
		r.findings.add(Finding{Kind: LogUnsigned, Log: e.log, Detail: fmt.Sprintf(
			"no signature by a given key covers the last %d entries, which were recorded from %s to %s: nothing proves them. Either no notary ran for so long, or its checkpoints were removed, or the key that signed them was not given",
			e.total-e.proven, event.FormatTime(e.unsignedSince), event.FormatTime(e.unsignedUntil))}.within(e.proven, e.total))
	}
}

// countRows reports that a table of the ledger has rows that no log has a place for, or that an index does not show.
func (r *run) countRows(ctx context.Context) error {
	for table, kind := range map[string]Kind{"ledger_batches": LedgerGap, "ledger_pending": LedgerGap, "ledger_tiles": TileAltered,
		"ledger_checkpoints": CheckpointUntrusted, "ledger_signatures": CheckpointUntrusted} {
		seen := int64(0)
		for _, e := range r.extents {
			seen += e.seen[table]
		}
		n, err := r.snapshot.Views()[0].CountRows(ctx, table)
		if err == nil && seen >= 0 && n != seen {
			r.findings.add(Finding{Kind: kind, Log: ledger.Events, Detail: fmt.Sprintf(
				"%s has %d rows, and the logs have a place for %d of them: others were added, or an index was tampered with", table, n, seen)})
		}
		if err := r.unread(err, Finding{Kind: kind, Log: ledger.Events, Detail: table + " can't be read completely"}); err != nil {
			return err
		}
	}
	return nil
}
