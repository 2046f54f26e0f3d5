package replay

import (
	"context"
	"time"

	"audittrail/modules/event"
)

// link is the connection to a target, made where there is none.
type link struct {
	job *job
	to  sender
}

func (l *link) send(ctx context.Context, events []event.Stored) ([]outcome, error) {
	if len(events) == 0 {
		return nil, nil
	}
	if err := l.job.refuseSealed(events); err != nil {
		return nil, err
	}
	if !l.job.mayStillSend() {
		return nil, &obstacle{"waits for the lease to be renewed", nil}
	}
	if err := l.open(ctx); err != nil {
		return nil, err
	}
	begun := time.Now()
	outcomes, err := l.to.send(ctx, events)
	l.job.role.metrics.seconds.WithLabelValues(l.job.to.kind).Observe(time.Since(begun).Seconds())
	if err != nil && l.job.to.kind == typeKafka {
		l.drop() // such a client can't be used any more
	}
	return outcomes, err
}

func (l *link) open(ctx context.Context) (err error) {
	if l.to != nil {
		return nil
	}
	j := l.job
	switch j.to.kind {
	case typeKafka:
		l.to, err = openKafka(ctx, j.role.deps.Kafka, j.to, j.claim.ID.String(), j.role.deps.MaxRecordBytes, j.log)
	case typeFile:
		l.to, err = openFile(j.to, j.claim.ID.String(), j.claim.Lease)
	case typeWebhook:
		l.to, err = openWebhook(j)
	}
	if err != nil {
		l.to = nil
	}
	return err
}

// finish ends what was sent. A file without an event is made too.
func (l *link) finish(ctx context.Context) error {
	if l.job.to.kind != typeFile {
		return nil
	}
	if err := l.open(ctx); err != nil {
		return err
	}
	return l.to.finish(ctx)
}

func (l *link) drop() {
	if l.to != nil {
		l.to.close()
		l.to = nil
	}
}
