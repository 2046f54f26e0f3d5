package verify

import (
	"context"
	"fmt"
	"time"

	"audittrail/modules/event"
	"audittrail/modules/ledger"
	"audittrail/modules/store/audit"
)

// DefaultMaxUnsigned is how much time the entries after the last signature may span, unless Options say
// otherwise. A notary signs within seconds.
const DefaultMaxUnsigned = 10 * time.Minute

// Somebody who deletes all checkpoints above a size may rewrite everything above it. What is left looks like
// a log whose last entries are not signed yet. An honest log has few such entries, so a long unsigned tail is
// a finding.
//
// The tail is measured from its oldest to its newest entry, by their own times. Comparing with the clock
// would accuse a backup that is verified a year later, or a system that was stopped before the next
// signature. Comparing with signed entries would mix the clocks of two machines. Whoever rewrites the tail
// can rewrite its times too; then only checkpoints from outside the database help.

// findUnsigned finds out when the entries after the last signature were recorded.
func (w *walk) findUnsigned(ctx context.Context) error {
	e := w.extent
	if e.proven >= e.total {
		return nil
	}
	err := w.view.Batches(ctx, w.log, func(b audit.LedgerBatch) error {
		if !b.Placed() || b.End() <= e.proven || b.Timeless() {
			return nil
		}
		if e.unsignedSince.IsZero() || b.RecordedAt.Before(e.unsignedSince) {
			e.unsignedSince = b.RecordedAt
		}
		if b.RecordedAt.After(e.unsignedUntil) {
			e.unsignedUntil = b.RecordedAt
		}
		return nil
	})
	return passable(err) // measure has reported it
}

// reportUnsigned reports a log that has no trusted signature, or a long unsigned tail. It reports no tail if
// signed roots do not fit, since that is the real finding. A log without any checkpoint whose entries span
// little time is new, and not signed yet.
func (r *run) reportUnsigned(log ledger.Log, e *extent) {
	span := e.unsignedUntil.Sub(e.unsignedSince)
	switch {
	case !e.done || e.total == 0 || e.unreadable:
	case e.trusted+e.checkpoints == 0 && !e.unsignedSince.IsZero() && span <= r.opts.MaxUnsigned:
	case e.trusted == 0:
		r.findings.add(Finding{Kind: LogUnsigned, Log: log, Detail: fmt.Sprintf(
			"no given key has signed any checkpoint, so nothing proves the log's %d entries", e.total)})
	case e.proven < e.total && e.wrongCount == 0 && !e.unsignedSince.IsZero() && span > r.opts.MaxUnsigned:
		r.findings.add(Finding{Kind: LogUnsigned, Log: log, Detail: fmt.Sprintf(
			"no signature by a given key covers the last %d entries, which were recorded from %s to %s: nothing proves them. Either no notary ran for so long, or its checkpoints were removed, or the key that signed them was not given",
			e.total-e.proven, event.FormatTime(e.unsignedSince), event.FormatTime(e.unsignedUntil))}.within(e.proven, e.total))
	}
}
