package evidence

import (
	"bytes"
	"fmt"
	"io"

	"github.com/go-json-experiment/json/jsontext"

	"audittrail/modules/ledger"
)

// GrewFrom checks that the log of a checkpoint is the log of an earlier one, and more: nothing that was
// in it then is gone, changed or moved. Both checkpoints MUST have been opened. The proof is that of the
// two sizes; for one and the same size, and from size 0, there is none. It is nil if the log grew, and says
// otherwise what is wrong, in words for people.
func GrewFrom(c, earlier *ledger.Checkpoint, p ledger.Proof) *Fault {
	fault := func(kind FaultKind, format string, args ...any) *Fault {
		return &Fault{Kind: kind, Index: -1, Detail: fmt.Sprintf(format, args...)}
	}
	switch {
	case c.Origin != earlier.Origin:
		return fault(WrongLog, "the checkpoint is of %s, and the earlier one of %s: two logs", ledger.Printable(c.Origin), ledger.Printable(earlier.Origin))
	case c.Size < earlier.Size:
		return fault(NotConsistent, "the checkpoint speaks for %d entries, fewer than the %d of the one that is said to be earlier: "+
			"the two were mixed up or, if this one was signed later, entries were taken from the log", c.Size, earlier.Size)
	case c.Size == earlier.Size && c.Root != earlier.Root:
		return fault(NotConsistent, "two checkpoints over the same %d entries are signed, and differ: the log has two histories", c.Size)
	case ledger.VerifyConsistency(earlier.Size, c.Size, earlier.Root, c.Root, p) != nil:
		return fault(NotConsistent, "the proof does not lead from the checkpoint over %d entries to the one over %d: "+
			"it is of other checkpoints or was changed, or the log's history was", earlier.Size, c.Size)
	}
	return nil
}

// ReadConsistency reads a consistency proof as the API answers it: {"proof":["<base64>",…]}. The error is a
// *Fault where this is JSON and no such proof, and an *UnreadableError otherwise.
func ReadConsistency(r io.Reader) (ledger.Proof, error) {
	const most = ledger.MaxProof * 100 // bytes; a hash takes 47, and somebody may have put white space between
	text, err := io.ReadAll(io.LimitReader(r, most+1))
	switch {
	case err != nil:
		return nil, &UnreadableError{Detail: "the proof of consistency can't be read", Cause: err}
	case len(text) > most:
		return nil, malformed("the proof of consistency is longer than any")
	}
	if text = bytes.TrimSpace(text); !jsontext.Value(text).IsValid() {
		return nil, &UnreadableError{Detail: "the proof of consistency is no JSON"}
	}
	d := jsontext.NewDecoder(bytes.NewBuffer(text))
	// The text was read as JSON before, so the decoder can't fail.
	open, _ := d.ReadToken()
	name, _ := d.ReadToken()
	if open.Kind() != '{' || name.Kind() != '"' || name.String() != "proof" {
		return nil, malformed(`this is no proof of consistency: {"proof":["<base64>",…]}`)
	}
	value, _ := d.ReadValue()
	p, fault := readProof(value)
	if fault != nil {
		return nil, malformed("of the proof of consistency: %s", fault.Detail)
	}
	if d.PeekKind() != '}' {
		return nil, malformed("the proof of consistency has something behind its hashes")
	}
	return p, nil
}
