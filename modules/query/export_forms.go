package query

import (
	"context"
	"io"

	"audittrail/modules/event"
	"audittrail/modules/evidence"
	"audittrail/modules/ledger"
)

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

// beginNDJSON begins an export without proofs: of the same events as a bundle has or, where nothing was
// signed yet, of all that are stored now. Who runs no notary has exports too.
func (h *Handlers) beginNDJSON(ctx context.Context, fields []string) (int64, openExport, error) {
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
		lines := evidence.NewExportWriter(w, checkpoint.Note)
		lines.Fields = fields
		return ndjsonExport{lines}, nil
	}, nil
}

// ndjsonExport writes events, or members of them, and the trailer.
type ndjsonExport struct{ *evidence.ExportWriter }

func (n ndjsonExport) page(_ context.Context, events []event.Stored) error { return n.Events(events) }

func (n ndjsonExport) end() error { return n.Close() }
