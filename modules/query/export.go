package query

import (
	"bufio"
	"context"
	"iter"

	"audittrail/modules/event"
	"audittrail/modules/httpapi"
	"audittrail/modules/ledger"
	"audittrail/modules/store"
	"audittrail/platform/errs"
	"audittrail/platform/httpserver"
)

const (
	// maxExports is how many exports one process streams at once: each holds a page of events and some
	// thousand hashes, about 30 MiB where events are large.
	maxExports = 8

	// exportBuffer is how many bytes leave at once.
	exportBuffer = 64 << 10
)

var errManyExports = errs.New(errs.Unavailable, "unavailable", "too many exports are under way; try again later")

// ExportEvents streams all events that fit as an evidence bundle. The checkpoint and the first page are
// read before anything leaves, so that most of what can fail is told by a status.
func (h *Handlers) ExportEvents(ctx context.Context, r httpapi.ExportEventsRequestObject) (httpapi.ExportEventsResponseObject, error) {
	p := r.Params
	filter, err := filterOf(p.EventType, p.AggregateType, p.AggregateId, p.From, p.To)
	if err != nil {
		return nil, err
	}
	order := orderOf(p.Order, store.Ascending)
	return httpapi.Export{File: "events.evidence.json", Write: func(start func() (httpapi.ExportStream, error)) error {
		select {
		case h.exports <- struct{}{}:
			defer func() { <-h.exports }()
		default:
			return errManyExports
		}
		return h.exportBundle(ctx, filter, order, start)
	}}, nil
}

func (h *Handlers) exportBundle(ctx context.Context, f store.Filter, order store.Order, start func() (httpapi.ExportStream, error)) error {
	rows := h.reader.Ledger(ledger.Events)
	checkpoint, err := rows.Checkpoint(ctx)
	if err != nil {
		return err
	}
	prover, err := ledger.NewProver(rows, checkpoint.Size)
	if err != nil {
		return err
	}
	next, stop := iter.Pull2(h.reader.Export(ctx, f, order, checkpoint.Size))
	defer stop()
	page, err, more := next()
	if err != nil {
		return err
	}
	stream, err := start()
	if err != nil {
		return err
	}
	out := bufio.NewWriterSize(stream, exportBuffer)
	bundle, err := ledger.NewBundleWriter(out, ledger.Events, []byte(checkpoint.Note))
	if err != nil {
		return err
	}
	for ; more; page, err, more = next() {
		if err != nil {
			return err
		}
		if err := exportPage(ctx, bundle, prover, page); err != nil {
			return err
		}
		if err := out.Flush(); err != nil {
			return err
		}
		if err := stream.Flush(); err != nil { // who waits for the rest sees how far it has come
			return err
		}
	}
	if err := bundle.Close(); err != nil {
		return err
	}
	return out.Flush()
}

func exportPage(ctx context.Context, bundle *ledger.BundleWriter, prover *ledger.Prover, page []event.Stored) error {
	if err := bundle.Events(ctx, prover, page); err != nil {
		return err
	}
	httpserver.ShowEvents(ctx, len(page))
	return nil
}
