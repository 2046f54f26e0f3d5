package evidence

import (
	"bytes"
	"fmt"
	"slices"

	"github.com/go-json-experiment/json/jsontext"

	"audittrail/modules/ledger"
)

// bundleEntry is one of a bundle's entries: what is shown, and what is said to prove it.
type bundleEntry struct {
	shown
	index int64
	proof ledger.Proof
}

// entryReader reads the members of one entry.
type entryReader struct {
	log   ledger.Log
	d     *jsontext.Decoder
	entry bundleEntry
	seen  [3]string // names of members
	count int
}

func malformedEntry(format string, args ...any) *Fault {
	return &Fault{Kind: Malformed, Detail: fmt.Sprintf(format, args...)}
}

// readEntry reads an entry, which is JSON. What could be read of it is answered beside a fault too, so
// that the fault can name it.
func readEntry(log ledger.Log, raw jsontext.Value) (bundleEntry, *Fault) {
	// Of a Buffer, unlike any other reader, the decoder takes no copy.
	r := entryReader{log: log, d: jsontext.NewDecoder(bytes.NewBuffer(raw), jsontext.AllowDuplicateNames(true))}
	r.entry.index = -1
	if raw.Kind() != '{' {
		return r.entry, malformedEntry("it is not an object")
	}
	// The text was read as JSON before, so the decoder can't fail.
	_, _ = r.d.ReadToken()
	var first *Fault
	for r.d.PeekKind() == '"' {
		name, _ := r.d.ReadToken()
		text := name.String()
		value, _ := r.d.ReadValue()
		if fault := r.member(text, value); fault != nil && first == nil {
			first = fault
		}
	}
	if first == nil && r.count != len(r.seen) {
		first = malformedEntry("it lacks its event, index or proof")
	}
	return r.entry, first
}

func (r *entryReader) member(name string, value jsontext.Value) (fault *Fault) {
	if slices.Contains(r.seen[:r.count], name) {
		return malformedEntry("its member %s stands twice", ledger.Printable(name))
	}
	switch name {
	case "event":
		r.entry.shown, fault = readShown(r.log, value)
	case "index":
		if r.entry.index = parseIndex(value); r.entry.index < 0 {
			fault = malformedEntry("its index is not a whole number")
		}
	case "proof":
		r.entry.proof, fault = readProof(value)
	default:
		return malformedEntry("it has a member %s, which is none of this format", ledger.Printable(name))
	}
	r.seen[r.count] = name
	r.count++
	return fault
}

// readProof reads what Proof.AppendJSON writes.
func readProof(value jsontext.Value) (ledger.Proof, *Fault) {
	if value.Kind() != '[' {
		return nil, malformedEntry("its proof is not a list")
	}
	d := jsontext.NewDecoder(bytes.NewBuffer(value), jsontext.AllowDuplicateNames(true))
	_, _ = d.ReadToken()
	var p ledger.Proof
	for d.PeekKind() != ']' {
		if len(p) == ledger.MaxProof {
			return nil, malformedEntry("its proof is longer than any log needs")
		}
		if d.PeekKind() != '"' {
			return nil, malformedEntry("hash %d of its proof is not a text", len(p)+1)
		}
		token, err := d.ReadToken()
		if err != nil {
			return nil, malformedEntry("hash %d of its proof can't be read", len(p)+1)
		}
		h, err := ledger.ParseHash(token.String())
		if err != nil {
			return nil, malformedEntry("hash %d of its proof %s", len(p)+1, err.Error())
		}
		p = append(p, h)
	}
	return p, nil
}

// verify checks the entry against the checkpoint.
func (e *bundleEntry) verify(c *ledger.Checkpoint) *Fault {
	switch {
	case e.index != e.position:
		return &Fault{Kind: WrongIndex, Detail: fmt.Sprintf("it shows the position %d, but is to be proven at %d", e.position, e.index)}
	case e.index >= c.Size:
		return &Fault{Kind: WrongIndex, Detail: fmt.Sprintf("the checkpoint speaks for the positions below %d only", c.Size)}
	case ledger.VerifyInclusion(e.leaf, e.index, c.Size, e.proof, c.Root) != nil:
		// Which of the three is another can't be told: a genuine entry with its proof and a later checkpoint
		// looks like a changed one.
		return &Fault{Kind: NotIncluded, Detail: "its proof does not lead from what is shown here to this checkpoint: " +
			"the entry or the proof was changed, or they belong to another checkpoint"}
	}
	return nil
}
