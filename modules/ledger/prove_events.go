package ledger

import (
	"bytes"
	"context"
	"fmt"

	"audittrail/modules/event"
)

// EventProver proves events against one signed checkpoint, and checks each proof before it hands it out:
// that it leads from the event, as it is shown, to the checkpoint's root. So a store that was tampered
// with, or hashes of it that are wrong, are seen by whoever serves them, and not first by an auditor.
// It MUST NOT be used by two goroutines at once.
type EventProver struct {
	prover *Prover
	check  inclusionCheck
}

// EvidenceError says that evidence would not have verified: rows or hashes of the store are not what was
// signed. Its text is for operators alone.
type EvidenceError struct {
	ID       string // the event's; "" where the checkpoint is at fault
	Position int64  // the event's
	Detail   string
}

func (e *EvidenceError) Error() string {
	if e.ID == "" {
		return "evidence that does not verify: the checkpoint " + e.Detail
	}
	return fmt.Sprintf("evidence that does not verify: event %s at position %d %s", e.ID, e.Position, e.Detail)
}

// NewEventProver makes a prover against the signed checkpoint, as it will be handed out. It does not
// verify the signature: whoever serves evidence need not have the key. The error is an *EvidenceError
// where that is no checkpoint of the log of events.
func NewEventProver(r Reader, signed []byte) (*EventProver, error) {
	c, err := SignedHead(signed, Events)
	if err != nil {
		return nil, err
	}
	prover, err := NewProver(r, c.Size)
	if err != nil {
		return nil, err
	}
	return &EventProver{prover, inclusionCheck{size: c.Size, root: c.Root}}, nil
}

// SignedHead is what a signed checkpoint of a log says. It does not verify the signature: whoever serves
// evidence need not have the key. The error is an *EvidenceError.
func SignedHead(signed []byte, log Log) (Checkpoint, error) {
	text := signed[:bytes.LastIndex(signed, []byte("\n\n"))+1]
	c, err := ParseCheckpoint(string(text))
	if err != nil {
		return Checkpoint{}, &EvidenceError{Detail: err.Error()}
	}
	if of, ok := LogOf(c.Origin); !ok || of != log {
		return Checkpoint{}, &EvidenceError{Detail: "is of " + Printable(c.Origin) + ", which is not the log of " + string(log)}
	}
	return c, nil
}

// Size is the checkpoint's: what its proofs are for.
func (p *EventProver) Size() int64 { return p.prover.Size() }

// Prove proves events: one proof for each, in their order. They are proven together, so a few hundred at a
// time are cheapest. The error is an *EvidenceError where a proof would not verify; none is answered then.
func (p *EventProver) Prove(ctx context.Context, events []event.Stored) ([]Proof, error) {
	indexes := make([]int64, len(events))
	for i := range events {
		e := &events[i]
		if indexes[i] = e.Position; e.Position >= p.Size() {
			return nil, &EvidenceError{e.ID.String(), e.Position, fmt.Sprintf("is not below the checkpoint's size, %d", p.Size())}
		}
	}
	proofs, err := p.prover.Inclusion(ctx, indexes...)
	if err != nil {
		return nil, err
	}
	for i, proof := range proofs {
		if e := &events[i]; !p.check.verify(EventLeaf(e), e.Position, proof) {
			return nil, &EvidenceError{e.ID.String(), e.Position, fmt.Sprintf("is not what was signed at size %d: its row or the log's hashes were changed", p.Size())}
		}
	}
	return proofs, nil
}
