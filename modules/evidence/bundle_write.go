package evidence

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strconv"

	"github.com/go-json-experiment/json/jsontext"

	"audittrail/modules/event"
	"audittrail/modules/ledger"
)

// BundleFormat is the format member of an evidence bundle.
const BundleFormat = "audittrail-evidence/v1"

var errBundleLog = errors.New("an event stands in the log of events alone")

// BundleWriter writes an evidence bundle: entries of one log with their inclusion proofs, and the
// checkpoint that all of them lead to. It keeps one entry at a time, so a bundle may be of any length.
// An error leaves the bundle cut, which no reader takes for a whole one.
type BundleWriter struct {
	w     io.Writer
	log   ledger.Log
	space []byte // of what is written next
	any   bool   // an entry was begun
}

// NewBundleWriter begins a bundle: it writes all that stands before the entries. signed is the signed
// checkpoint; the entries' proofs MUST be for its size.
func NewBundleWriter(w io.Writer, log ledger.Log, signed []byte) (*BundleWriter, error) {
	b := &BundleWriter{w: w, log: log}
	b.space = append(b.space, `{"format":"`+BundleFormat+`","log":"`+string(log)+`","checkpoint":`...)
	quoted, err := jsontext.AppendQuote(b.space, signed)
	if err != nil {
		return nil, fmt.Errorf("write checkpoint: %w", err)
	}
	b.space = append(quoted, `,"entries":[`...)
	return b, b.flush()
}

// Events proves events and writes them, in their order. They are proven together, so a few hundred at a
// time are cheapest. p MUST be of the checkpoint that the bundle began with. The error is an *EvidenceError
// where an event is not what was signed; nothing of events is written then.
func (b *BundleWriter) Events(ctx context.Context, p *ledger.EventProver, events []event.Stored) error {
	proofs, err := p.Prove(ctx, events)
	if err != nil {
		return err
	}
	for i := range events {
		if err := b.Event(&events[i], proofs[i]); err != nil {
			return err
		}
	}
	return nil
}

// Event writes an event and its inclusion proof.
func (b *BundleWriter) Event(s *event.Stored, p ledger.Proof) error {
	if b.log != ledger.Events {
		return errBundleLog
	}
	b.open()
	b.space = s.AppendJSON(b.space)
	return b.close(s.Position, p)
}

// Entry writes an entry that is not an event: a JSON object as it is listed, with its position, which is
// index. Its leaf MUST be that of its canonical form without the position.
func (b *BundleWriter) Entry(object []byte, index int64, p ledger.Proof) error {
	b.open()
	b.space = append(b.space, object...)
	return b.close(index, p)
}

// Close writes the bundle's end. It does not close the writer below.
func (b *BundleWriter) Close() error {
	b.space = append(b.space[:0], "\n]}\n"...)
	return b.flush()
}

func (b *BundleWriter) open() {
	b.space = b.space[:0]
	if b.any {
		b.space = append(b.space, ',')
	}
	b.any = true
	b.space = append(b.space, "\n"+`{"event":`...)
}

func (b *BundleWriter) close(index int64, p ledger.Proof) error {
	b.space = append(b.space, `,"index":`...)
	b.space = strconv.AppendInt(b.space, index, 10)
	b.space = append(b.space, `,"proof":`...)
	b.space = p.AppendJSON(b.space)
	b.space = append(b.space, '}')
	return b.flush()
}

func (b *BundleWriter) flush() error {
	if _, err := b.w.Write(b.space); err != nil {
		return fmt.Errorf("write bundle: %w", err)
	}
	return nil
}
