package query

import (
	"context"
	"io"

	"audittrail/modules/event"
	"audittrail/modules/evidence"
	"audittrail/modules/httpapi"
	"audittrail/modules/ledger"
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
	}
	switch p.Format {
	case httpapi.Ndjson:
		return exportForm{"events.ndjson", httpapi.NDJSONType, h.beginLines(func(w io.Writer, signed string) (*evidence.ExportWriter, error) {
			return evidence.NewExportWriter(w, signed, fields), nil
		})}, nil
	case httpapi.Csv:
		if columns == nil {
			columns = evidence.DefaultColumns()
		}
		return exportForm{"events.csv", httpapi.CSVType, h.beginLines(func(w io.Writer, signed string) (*evidence.ExportWriter, error) {
			return evidence.NewCSVWriter(w, signed, columns, true)
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

// beginLines begins an export without proofs: of the same events as a bundle has or, where nothing was signed yet,
// of all that are stored now. Who runs no notary has exports too.
func (h *Handlers) beginLines(writer func(w io.Writer, signed string) (*evidence.ExportWriter, error)) func(context.Context) (int64, openExport, error) {
	return func(ctx context.Context) (int64, openExport, error) {
		checkpoint, err := h.reader.Ledger(ledger.Events).Checkpoint(ctx)
		if notYetSigned(err) {
			var head int64
			head, err = h.reader.Head(ctx)
			checkpoint.Size = head + 1
		}
		if err != nil {
			return 0, nil, err
		}
		return checkpoint.Size, func(w io.Writer) (exportWriter, error) {
			lines, err := writer(w, checkpoint.Note)
			return linesExport{lines}, err
		}, nil
	}
}

// linesExport writes events, or parts of them, and the trailer.
type linesExport struct{ *evidence.ExportWriter }

func (l linesExport) page(_ context.Context, events []event.Stored) error { return l.Events(events) }

func (l linesExport) end() error { return l.Close() }
