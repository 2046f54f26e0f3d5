package ledger

import (
	"bytes"
	"encoding/base64"
	"errors"
	"io"
	"strconv"
	"strings"

	"audittrail/modules/event"
)

// TextProof is an inclusion proof as C2SP tlog-proof writes it. Its extra data is the entry in its
// canonical form: what the leaf is computed over. It is as untrusted as the rest, until Verify has led
// from it to the checkpoint.
type TextProof struct {
	Extra      []byte // the entry's canonical form, without its position; nil without
	Index      int64
	Proof      Proof
	Checkpoint []byte // the signed note
}

const (
	textProofHeader = "c2sp.org/tlog-proof@v1\n"
	extraPrefix     = "extra "
	indexPrefix     = "index "
)

var errTextProof = errors.New("is not a C2SP tlog-proof: a header, extra data, an index, hashes in base64, an empty line and a checkpoint")

// EventTextProof is the textual proof of an event.
func EventTextProof(s *event.Stored, p Proof, signed []byte) TextProof {
	return TextProof{Extra: s.Canonical(), Index: s.Position, Proof: p, Checkpoint: signed}
}

// Append appends the proof's text to dst.
func (p TextProof) Append(dst []byte) []byte {
	dst = append(dst, textProofHeader...)
	if p.Extra != nil {
		dst = append(base64.StdEncoding.AppendEncode(append(dst, extraPrefix...), p.Extra), '\n')
	}
	dst = append(strconv.AppendInt(append(dst, indexPrefix...), p.Index, 10), '\n')
	for _, h := range p.Proof {
		dst = append(append(dst, h.String()...), '\n')
	}
	return append(append(dst, '\n'), p.Checkpoint...)
}

// ParseTextProof reads what Append writes, and no other spelling of it. It verifies nothing.
func ParseTextProof(text []byte) (TextProof, error) {
	rest, ok := bytes.CutPrefix(text, []byte(textProofHeader))
	head, checkpoint, found := bytes.Cut(rest, []byte("\n\n"))
	if !ok || !found || len(checkpoint) > MaxCheckpoint {
		return TextProof{}, errTextProof
	}
	p := TextProof{Checkpoint: checkpoint}
	lines := strings.Split(string(head), "\n")
	if extra, ok := strings.CutPrefix(lines[0], extraPrefix); ok {
		var err error
		if p.Extra, err = base64.StdEncoding.DecodeString(extra); err != nil {
			return TextProof{}, errTextProof
		}
		lines = lines[1:]
	}
	if len(lines) == 0 || len(lines) > 1+MaxProof {
		return TextProof{}, errTextProof
	}
	index, _ := strings.CutPrefix(lines[0], indexPrefix)
	if p.Index = parseIndex([]byte(index)); p.Index < 0 {
		return TextProof{}, errTextProof
	}
	for _, line := range lines[1:] {
		h, err := ParseHash(line)
		if err != nil {
			return TextProof{}, errTextProof
		}
		p.Proof = append(p.Proof, h)
	}
	if !bytes.Equal(p.Append(nil), text) {
		return TextProof{}, errTextProof
	}
	return p, nil
}

// Verify checks that the leaf, which the caller MUST have computed from the entry itself, is in the log
// of a checkpoint that one of keys has signed. The error is a *NotProvenError.
func (p TextProof) Verify(leaf Hash, log Log, keys Keys) (Signed, error) {
	signed, fault := openFor(log, p.Checkpoint, keys)
	if fault == nil {
		e := bundleEntry{shown{leaf: leaf, position: p.Index}, p.Index, p.Proof}
		if fault = e.verify(&signed.Checkpoint); fault != nil {
			fault.Entry, fault.Index = 1, p.Index
		}
	}
	if fault != nil {
		return Signed{}, &NotProvenError{Faults: []*Fault{fault}, Count: 1}
	}
	return signed, nil
}

// verifyText reads a textual proof and verifies the entry that it carries.
func verifyText(r io.Reader, keys Keys, each func(Entry)) (Report, error) {
	report := Report{Form: FormTextProof}
	text, err := io.ReadAll(r)
	switch {
	case errors.Is(err, errMeter):
		return report, notProven(malformed("the proof is larger than any entry can be"))
	case err != nil:
		return report, &UnreadableError{Detail: "the file can't be read", Cause: err}
	}
	p, err := ParseTextProof(text)
	if err != nil {
		return report, notProven(malformed("the file begins as a proof, and %s", err.Error()))
	}
	report.Entries, report.Distinct = 1, true
	shows, fault := p.shows(&report)
	if fault == nil {
		if report.Checkpoint, err = p.Verify(shows.leaf, report.Log, keys); err == nil {
			report.Proven = 1
			each(Entry{Number: 1, Index: p.Index, ID: shows.id})
			return report, nil
		}
		var e *NotProvenError
		if errors.As(err, &e) {
			fault = e.Faults[0]
		}
	}
	fault.Entry, fault.Index, fault.ID = 1, p.Index, shows.id
	each(Entry{Number: 1, Index: p.Index, ID: shows.id, Fault: fault})
	return report, notProven(fault)
}

func notProven(f *Fault) *NotProvenError { return &NotProvenError{Faults: []*Fault{f}, Count: 1} }

// shows computes the leaf of the entry that the proof carries. The log is the one that the checkpoint
// names; whether the checkpoint may speak for it is verified later.
func (p TextProof) shows(report *Report) (shown, *Fault) {
	origin, _, _ := bytes.Cut(p.Checkpoint, []byte{'\n'})
	log, ok := LogOf(string(origin))
	if !ok {
		return shown{}, &Fault{Kind: WrongLog, Detail: "its checkpoint is of " + printable(string(origin)) + ", which is no log of events or of accesses"}
	}
	report.Log = log
	if len(p.Extra) < len("{}") || p.Extra[0] != '{' {
		return shown{}, &Fault{Kind: Malformed, Detail: "the proof does not carry its entry"}
	}
	object := append(strconv.AppendInt([]byte(`{"position":`), p.Index, 10), ',')
	if p.Extra[1] == '}' {
		object = object[:len(object)-1]
	}
	shows, fault := readShown(log, append(object, p.Extra[1:]...))
	if fault == nil && shows.leaf != LeafHash(p.Extra) {
		fault = &Fault{Kind: BadEntry, Detail: "the entry that it carries is not in its canonical form"}
	}
	return shows, fault
}
