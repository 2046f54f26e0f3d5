package verify

import (
	"context"
	"fmt"
	"time"

	"audittrail/modules/event"
	"audittrail/modules/ledger"
	"audittrail/modules/store/audit"
)

// DefaultMaxUnsigned is how much time the entries behind the last signature may span unless Options say
// another. A notary signs within seconds.
const DefaultMaxUnsigned = 10 * time.Minute

// Whoever removes all checkpoints above a size may rewrite everything above it, and what is left looks
// like a log whose last entries were not signed yet. An honest log has few such entries, so a long tail is
// a finding.
//
// Its length is measured among the unsigned entries, from the oldest to the newest, and not against the clock
// or signed entries, which another clock may have stamped: a backup that is looked at a year later, or a
// system that was stopped between an append and the next signature, has an old tail, but a short one. Whoever
// rewrites the tail can rewrite its times too; only checkpoints that were kept outside of the database help
// against that.

// findUnsigned finds out since when entries are not signed.
func (w *walk) findUnsigned(ctx context.Context) error {
	h := w.head
	if h.proven >= h.total {
		return nil
	}
	err := w.view.Batches(ctx, w.log, func(b audit.LedgerBatch) error {
		if !b.Placed() || b.End() <= h.proven || b.Timeless() {
			return nil
		}
		if h.unsignedSince.IsZero() || b.RecordedAt.Before(h.unsignedSince) {
			h.unsignedSince = b.RecordedAt
		}
		if b.RecordedAt.After(h.unsignedUntil) {
			h.unsignedUntil = b.RecordedAt
		}
		return nil
	})
	return passable(err) // measure has reported it
}

// tellUnsigned reports a log that nobody signed, or not for long. Where signed roots do not fit, that
// is what is to be told. A log without any checkpoint whose entries were recorded within as short a time
// as an unsigned tail may span is a new one: it is not signed yet.
func (r *run) tellUnsigned(log ledger.Log, h *head) {
	span := h.unsignedUntil.Sub(h.unsignedSince)
	switch {
	case !h.done || h.total == 0 || h.unreadable:
	case h.trusted+h.checkpoints == 0 && !h.unsignedSince.IsZero() && span <= r.opts.MaxUnsigned:
	case h.trusted == 0:
		r.findings.add(Finding{Kind: LogUnsigned, Log: log, Detail: fmt.Sprintf(
			"no checkpoint that a given key has signed is there, so nothing proves the log's %d entries", h.total)})
	case h.proven < h.total && h.wrongCount == 0 && !h.unsignedSince.IsZero() && span > r.opts.MaxUnsigned:
		r.findings.add(Finding{Kind: LogUnsigned, Log: log, Detail: fmt.Sprintf(
			"no signature that a given key has made covers the last %d entries, which were recorded from %s to %s: nothing proves them. Either no notary ran for so long, or its checkpoints were removed, or a key is missing that signed them",
			h.total-h.proven, event.FormatTime(h.unsignedSince), event.FormatTime(h.unsignedUntil))}.within(h.proven, h.total))
	}
}
