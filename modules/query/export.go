package query

import (
	"context"
	"errors"
	"io"
	"iter"
	"time"

	"audittrail/modules/access"
	"audittrail/modules/event"
	"audittrail/modules/httpapi"
	"audittrail/modules/store"
	"audittrail/platform/errs"
	"audittrail/platform/httpserver"
)

// ExportEvents streams all events that fit, in the form that was asked for. The checkpoint and the first
// page are read, and that is proven, before anything leaves, so that most of what can fail is told by a
// status.
func (h *Handlers) ExportEvents(ctx context.Context, r httpapi.ExportEventsRequestObject) (httpapi.ExportEventsResponseObject, error) {
	p := r.Params
	filter, err := httpapi.Search{
		EventTypes: p.EventType, AggregateType: p.AggregateType, AggregateID: p.AggregateId, From: p.From, To: p.To,
		CorrelationID: p.CorrelationId, CausationID: p.CausationId, UserID: p.UserId, Source: p.Source, Payload: p.Payload,
	}.Filter(time.Now())
	if err != nil {
		return nil, err
	}
	form, err := h.exportForm(p)
	if err != nil {
		return nil, err
	}
	order := orderOf(p.Order, store.Ascending)
	if p.Format == httpapi.Bundle {
		if ctx, err = access.Require(ctx, access.ProofsRead); err != nil {
			return nil, err
		}
		ctx = store.WithStoredForm(ctx)
	}
	compress := takesGzip(httpserver.ExchangeOf(ctx).Request)
	return httpapi.Export{File: form.file, Type: form.kind, IsGzip: compress, Write: func(start func(size int64) (httpapi.ExportStream, error)) error {
		giveBack, err := h.exports.Take(httpserver.ExchangeOf(ctx).Principal)
		if err != nil {
			return err
		}
		defer giveBack()
		size, open, err := form.begin(ctx)
		if err != nil {
			return err
		}
		cursor, err := h.cursorBehind(ctx, p.After, filter, order)
		if err != nil {
			return err
		}
		out := newExportOutput(&lateStream{start: func() (httpapi.ExportStream, error) { return start(size) }}, compress)
		return streamExport(ctx, h.reader.Export(ctx, filter, order, cursor, size), out, open)
	}}, nil
}

// cursorBehind answers where an export goes on: behind an event, or at its beginning where none is given.
func (h *Handlers) cursorBehind(ctx context.Context, after *string, f store.Filter, order store.Order) (string, error) {
	if after == nil {
		return "", nil
	}
	id, err := event.ParseID(*after)
	if err != nil {
		return "", invalid("after", "must be an event's id").Because(err)
	}
	cursor, err := h.reader.CursorBehind(ctx, id, f, order)
	var refused *errs.Error
	if errors.As(err, &refused) && refused.Kind == errs.NotFound {
		return "", invalid("after", "is the id of no event: send the last one of the export that was cut")
	}
	return cursor, err
}

// exportWriter writes one form of export.
type exportWriter interface {
	page(ctx context.Context, events []event.Stored) error
	end() error // MUST come only when all pages were written: it is what makes the export whole
}

// openExport begins to write a form of export; what it writes may be sent.
type openExport func(w io.Writer) (exportWriter, error)

// streamExport sends the pages. Whatever fails, the writer's end is not written then.
func streamExport(ctx context.Context, pages iter.Seq2[[]event.Stored, error], out *exportOutput, open openExport) error {
	w, err := open(out)
	if err != nil {
		return err
	}
	for page, err := range pages {
		if err != nil {
			return err
		}
		if err := accepted(ctx); err != nil {
			return err
		}
		if len(page) == 0 { // nothing was found in a part of the time
			continue
		}
		if err := w.page(ctx, page); err != nil {
			return err
		}
		show(ctx, page)
		if err := out.send(); err != nil {
			return err
		}
	}
	if err := w.end(); err != nil {
		return err
	}
	return out.end()
}
