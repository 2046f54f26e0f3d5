package replay

import (
	"context"
	"sync"

	"go.opentelemetry.io/otel/attribute"

	"audittrail/modules/event"
	"audittrail/modules/store"
	"audittrail/platform/errs"
	"audittrail/platform/telemetry"
)

// What is read at once, and sent together at most.
const (
	maxChunk   = 5000
	chunkBytes = 4 << 20
)

// page is a part of what is to be sent.
type page struct {
	events []event.Stored
	to     int64 // all up to this position is in it, or before it
}

// sendAll reads and sends side by side.
func (j *job) sendAll(ctx context.Context, to *link) error {
	ctx, cancel := context.WithCancel(ctx)
	pages, failed := make(chan page, 2), make(chan error, 1)
	var reading sync.WaitGroup
	defer reading.Wait()
	defer cancel()
	reading.Go(func() {
		defer close(pages)
		failed <- j.read(ctx, j.progress.Position, pages)
	})
	for p := range pages {
		if err := j.send(ctx, to, p.events); err != nil {
			return err
		}
		j.moveOn(p.to)
	}
	return <-failed
}

// send sends a page's events. It is one trace, with its statements.
func (j *job) send(ctx context.Context, to *link, events []event.Stored) (err error) {
	if len(events) == 0 {
		return nil
	}
	ctx, span := j.role.deps.Tracing.Root(ctx, "replay page", attribute.String("audittrail.replay", j.claim.ID.String()), attribute.Int("audittrail.events", len(events)))
	defer func() {
		telemetry.Fail(span, err)
		span.End()
	}()
	for len(events) > 0 {
		if j.isAskedToRetry() {
			if err := j.retry(ctx, to); err != nil {
				return err
			}
		}
		n, err := j.pace.next(ctx, events[:min(len(events), j.to.together())])
		if err != nil {
			return err
		}
		if err := j.deliver(ctx, to, events[:n]); err != nil {
			return err
		}
		events = events[n:]
	}
	return nil
}

// read reads what is to be sent. A store that does not answer is asked again.
func (j *job) read(ctx context.Context, after int64, into chan<- page) error {
	until := j.claim.Until
	for after < until {
		var found store.FeedPage
		err := j.patiently(ctx, func() (err error) {
			if found, err = j.role.deps.Reader.FeedBatch(ctx, j.filter, after, maxChunk, chunkBytes); errs.Of(err).Code == "position_beyond_end" {
				return &fatal{"the log ends before the replay does: it was set back", err}
			}
			return unreadable(err)
		})
		if err != nil {
			return err
		}
		if found.ScannedTo == after && !found.More {
			return &fatal{"the log ends before the replay does: it was set back", nil}
		}
		p := page{found.Items, min(found.ScannedTo, until)}
		for n := len(p.events); n > 0 && p.events[n-1].Position > until; n-- {
			p.events = p.events[:n-1]
		}
		after = found.ScannedTo
		select {
		case into <- p:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}

func unreadable(err error) error {
	if err == nil {
		return nil
	}
	if errs.Of(err).Code == "keys_unavailable" {
		return &obstacle{"the keys of sealed values can't be reached right now", err}
	}
	return &obstacle{"the event store can't be read right now", err}
}
