package query

import (
	"context"
	"io"

	"audittrail/modules/event"
	"audittrail/modules/evidence"
	"audittrail/modules/httpapi"
	"audittrail/modules/ledger"
	"audittrail/modules/store"
	"audittrail/platform/errs"
)

// exportForm is a form of export.
type exportForm struct {
	file, kind string // what a browser calls it, and its media type

	// begin answers the size that all positions are below, and what writes the events.
	begin func(ctx context.Context) (size int64, open openExport, err error)
}

// exportForm reads the parameters that say what an export looks like.
func (h *Handlers) exportForm(p httpapi.ExportEventsParams) (exportForm, error) {
	fields, err := fieldsOf(p.Fields)
	if err != nil {
		return exportForm{}, err
	}
	columns, err := columnsOf(p.Columns)
	if err != nil {
		return exportForm{}, err
	}
	switch {
	case columns != nil && p.Format != httpapi.Csv:
		return exportForm{}, invalid("columns", "are csv's; ndjson has fields, and a bundle's events are whole")
	case fields != nil && p.Format == httpapi.Csv:
		return exportForm{}, invalid("fields", "are not csv's, which has columns")
	case fields != nil && p.Format == httpapi.Bundle:
		return exportForm{}, invalid("fields", "can't be chosen for a bundle: its proofs are of whole events")
	case p.After != nil && p.Size == nil:
		return exportForm{}, invalid("size", "must be given with after: the Audittrail-Size of the export that goes on")
	case p.After == nil && p.Size != nil:
		return exportForm{}, invalid("after", "must be given with size: the id of the last event that has arrived")
	case p.After != nil && p.Format == httpapi.Bundle:
		return exportForm{}, invalid("after", "can't be given for a bundle, which is one document: ask for it again")
	}
	switch p.Format {
	case httpapi.Ndjson:
		return exportForm{"events.ndjson", httpapi.NDJSONType, h.beginLines(p.Size, func(w io.Writer, signed string) (*evidence.ExportWriter, error) {
			return evidence.NewExportWriter(w, signed, fields), nil
		})}, nil
	case httpapi.Csv:
		if columns == nil {
			columns = evidence.DefaultColumns()
		}
		isPart, kind := p.After != nil, httpapi.CSVType
		if isPart {
			kind = httpapi.CSVPartType
		}
		return exportForm{"events.csv", kind, h.beginLines(p.Size, func(w io.Writer, signed string) (*evidence.ExportWriter, error) {
			return evidence.NewCSVWriter(w, signed, columns, !isPart)
		})}, nil
	default:
		return exportForm{"events.evidence.json", httpapi.JSONType, h.beginBundle}, nil
	}
}

// beginBundle begins an evidence bundle: of the events below the latest checkpoint's size.
func (h *Handlers) beginBundle(ctx context.Context) (int64, openExport, error) {
	rows := h.reader.Ledger(ledger.Events)
	checkpoint, err := rows.Checkpoint(ctx)
	if err != nil {
		return 0, nil, err
	}
	prover, err := ledger.NewEventProver(rows, []byte(checkpoint.Note))
	if err != nil {
		return 0, nil, h.faults.counted(err)
	}
	return prover.Size(), func(w io.Writer) (exportWriter, error) {
		bundle, err := evidence.NewBundleWriter(w, ledger.Events, []byte(checkpoint.Note))
		return bundleExport{bundle, prover, h.faults}, err
	}, nil
}

// bundleExport writes events with their proofs. One that does not verify ends it.
type bundleExport struct {
	bundle *evidence.BundleWriter
	prover *ledger.EventProver
	faults evidenceFaults
}

func (b bundleExport) page(ctx context.Context, events []event.Stored) error {
	return b.faults.counted(b.bundle.Events(ctx, b.prover, events))
}

func (b bundleExport) end() error { return b.bundle.Close() }

// beginLines begins an export without proofs, of the events below a size; nil for a new export.
func (h *Handlers) beginLines(size *int64, writer func(w io.Writer, signed string) (*evidence.ExportWriter, error)) func(context.Context) (int64, openExport, error) {
	return func(ctx context.Context) (int64, openExport, error) {
		begin := h.newSnapshot
		if size != nil {
			begin = func(ctx context.Context) (store.Checkpoint, error) { return h.oldSnapshot(ctx, *size) }
		}
		checkpoint, err := begin(ctx)
		if err != nil {
			return 0, nil, err
		}
		return checkpoint.Size, func(w io.Writer) (exportWriter, error) {
			lines, err := writer(w, checkpoint.Note)
			return linesExport{lines}, err
		}, nil
	}
}

// newSnapshot answers the latest checkpoint or, where nothing was signed yet, the size of all that is stored now
// alone. Who runs no notary has exports too.
func (h *Handlers) newSnapshot(ctx context.Context) (store.Checkpoint, error) {
	checkpoint, err := h.reader.Ledger(ledger.Events).Checkpoint(ctx)
	if !notYetSigned(err) {
		return checkpoint, err
	}
	head, err := h.reader.Head(ctx)
	return store.Checkpoint{Size: head + 1}, err
}

// oldSnapshot answers the checkpoint of a size or, where none was signed of it, that size alone.
func (h *Handlers) oldSnapshot(ctx context.Context, size int64) (store.Checkpoint, error) {
	checkpoint, ok, err := h.reader.Ledger(ledger.Events).CheckpointOf(ctx, size)
	if ok || err != nil {
		return checkpoint, err
	}
	head, err := h.reader.Head(ctx)
	if err == nil && size > head+1 {
		err = errs.New(errs.Conflict, "position_beyond_end",
			"is beyond the log, which holds %d events: the log is older than what you have seen", head+1).InField("size")
	}
	return store.Checkpoint{Size: size}, err
}

// linesExport writes events, or parts of them, and the trailer.
type linesExport struct{ *evidence.ExportWriter }

func (l linesExport) page(_ context.Context, events []event.Stored) error { return l.Events(events) }

func (l linesExport) end() error { return l.Close() }
