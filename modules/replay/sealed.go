package replay

import (
	"context"
	"slices"

	"audittrail/modules/access"
	"audittrail/modules/event"
	"audittrail/modules/httpapi"
	"audittrail/modules/protect"
	"audittrail/modules/store"
	"audittrail/platform/errs"
)

// checkSealed refuses a filter that asks for sealed values. It would be kept with the job, and shown to whoever may see
// that, in plain text; and the worker could not find what the preview has found.
func (h *Endpoints) checkSealed(f store.Filter) error {
	const why = "asks for values that encryption.rules seal: a replay keeps its filter in plain text, so select by something else"
	switch {
	case h.Rules == nil:
	case f.Payload != nil && h.Rules.SealsPattern(string(f.Payload)):
		return invalid("filter.payload", why)
	case f.UserID != "" && h.Rules.Seals("userId"):
		return invalid("filter.userId", why)
	}
	return nil
}

// treatSealed writes down what a job does with sealed values. It opens those that its creator may see, where the target
// may have them and the creator does not want placeholders.
func treatSealed(ctx context.Context, body *httpapi.ReplayRequest, to destination, job *store.NewReplay) (err error) {
	job.Placeholders = body.Sealed != nil
	if grant := access.GrantOf(ctx); to.pii && !job.Placeholders && grant.Has(access.PIIRead) {
		job.Opens, err = store.MarshalOpening(grant.Scope(access.PIIRead))
	}
	return err
}

// wantTreatment refuses a job that would meet sealed values and may neither open them nor send placeholders.
func wantTreatment(job *store.NewReplay, all store.Summary) error {
	closed := all.Sealed
	if job.Opens != nil {
		closed = all.Closed
	}
	if job.Placeholders || closed == 0 {
		return nil
	}
	return errs.New(errs.Unprocessable, "sealed_values", "%d of the events hold sealed or erased values, which this replay may not open: "+
		`that wants a target with pii: true in replay.targets, and pii:read for these events; "sealed":"placeholder" sends {"$sealed":true} in their place`,
		closed).InField("sealed")
}

// opening has reads by the job open what it may open: both the API that made it and this process must know that the
// target may have it.
func (j *job) opening(ctx context.Context) (context.Context, error) {
	if j.claim.Opens == nil || !j.to.pii {
		return ctx, nil
	}
	return store.WithStoredOpening(ctx, j.claim.Opens)
}

// refuseSealed fails where an event has placeholders that the job must not send: they would pass for what the event
// said. Nothing of the batch is sent then. Where values are sent open, erased ones may go as such.
func (j *job) refuseSealed(events []event.Stored) error {
	if j.claim.Placeholders {
		return nil
	}
	for i := range events {
		sealed, erased := protect.Placeholders(&events[i].Event)
		if sealed || erased && (j.claim.Opens == nil || !j.to.pii) {
			return &fatal{"an event of the selection has sealed values, which this replay may not open: the event is " + events[i].ID.String(), nil}
		}
	}
	return nil
}

// checkIngested refuses a topic that ingest reads, or has read. It may have become one since the job was made.
func (j *job) checkIngested(ctx context.Context) error {
	if j.to.kind != typeKafka || j.role.deps.Ingested == nil {
		return nil
	}
	return j.patiently(ctx, func() error {
		topics, err := j.role.deps.Ingested(ctx)
		if err == nil && slices.Contains(topics, j.to.topic) {
			return &fatal{"the topic is being ingested: what is sent there would come back", nil}
		}
		return unreadable(err)
	})
}
