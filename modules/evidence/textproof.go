package evidence

import (
	"bufio"
	"bytes"
	"encoding/base64"
	"errors"
	"io"
	"strconv"

	"audittrail/modules/event"
	"audittrail/modules/ledger"
)

// TextProof is an inclusion proof as C2SP tlog-proof writes it. Its extra data is the entry in its
// canonical form: what the leaf is computed over. It is as untrusted as the rest, until Verify of the whole
// text has led from it to the checkpoint.
type TextProof struct {
	Extra      []byte // the entry's canonical form, without its position; nil without
	Index      int64
	Proof      ledger.Proof
	Checkpoint []byte // the signed note
}

const (
	textProofHeader = "c2sp.org/tlog-proof@v1\n"
	extraPrefix     = "extra "
	indexPrefix     = "index "
)

// strictBase64 takes the one spelling that an encoder makes, but for line breaks.
var strictBase64 = base64.StdEncoding.Strict()

var errTextProof = errors.New("is not a C2SP tlog-proof: a header, extra data, an index, hashes in base64, an empty line and a checkpoint")

// EventTextProof is the textual proof of an event.
func EventTextProof(s *event.Stored, p ledger.Proof, signed []byte) TextProof {
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
	if !ok || !found || len(checkpoint) > ledger.MaxCheckpoint {
		return TextProof{}, errTextProof
	}
	p := TextProof{Checkpoint: checkpoint}
	line, head, more := bytes.Cut(head, []byte{'\n'})
	if extra, ok := bytes.CutPrefix(line, []byte(extraPrefix)); ok {
		var err error // the decoder passes over returns
		if p.Extra, err = strictBase64.AppendDecode([]byte{}, extra); err != nil || !more || bytes.ContainsRune(extra, '\r') {
			return TextProof{}, errTextProof
		}
		line, head, more = bytes.Cut(head, []byte{'\n'})
	}
	index, ok := bytes.CutPrefix(line, []byte(indexPrefix))
	if p.Index = parseIndex(index); p.Index < 0 || !ok {
		return TextProof{}, errTextProof
	}
	for more {
		line, head, more = bytes.Cut(head, []byte{'\n'})
		h, err := ledger.ParseHash(string(line))
		if err != nil || len(p.Proof) == ledger.MaxProof {
			return TextProof{}, errTextProof
		}
		p.Proof = append(p.Proof, h)
	}
	return p, nil
}

// verifyText reads a textual proof and verifies the entry that it carries.
func verifyText(r *bufio.Reader, keys ledger.Keys, each func(Entry)) (Report, error) {
	report := Report{Form: FormTextProof}
	text, err := readTextProof(r)
	switch {
	case errors.Is(err, errMeter):
		return report, notProven(malformed("the proof is larger than any entry can be"))
	case errors.Is(err, errTextProof):
	case err != nil:
		return report, &UnreadableError{Detail: "the file can't be read", Cause: err}
	}
	var p TextProof
	if err == nil {
		p, err = ParseTextProof(text)
	}
	if err != nil {
		return report, notProven(malformed("the file begins as a proof, and %s", err.Error()))
	}
	report.Entries, report.Distinct = 1, true
	e := Entry{Number: 1, Index: p.Index}
	if e.ID, e.Fault = p.verify(&report, keys); e.Fault != nil {
		e.Fault.Entry, e.Fault.Index, e.Fault.ID = e.Number, e.Index, e.ID
		each(e)
		return report, notProven(e.Fault)
	}
	report.Proven = 1
	each(e)
	return report, nil
}

// readTextProof reads what could be a textual proof, and stops where it can't be one any more: so that the
// memory is taken by an entry, and not by anything that begins like one.
func readTextProof(r *bufio.Reader) ([]byte, error) {
	const (
		most     = 3 + ledger.MaxProof // lines up to the empty one: the header, extra, the index, the proof
		mostLine = 100                 // bytes of each that is not extra
	)
	var text []byte
	for n := 0; ; n++ {
		start := len(text)
		for {
			part, err := r.ReadSlice('\n')
			text = append(text, part...)
			if err == nil {
				break
			}
			switch {
			case errors.Is(err, io.EOF):
				return nil, errTextProof
			case !errors.Is(err, bufio.ErrBufferFull):
				return nil, err
			case n != 1 || !bytes.HasPrefix(text[start:], []byte(extraPrefix)):
				return nil, errTextProof
			}
		}
		line := text[start:]
		switch {
		case len(line) == 1:
			checkpoint, err := io.ReadAll(io.LimitReader(r, ledger.MaxCheckpoint+1))
			return append(text, checkpoint...), err
		case n == most, len(line) > mostLine && (n != 1 || !bytes.HasPrefix(line, []byte(extraPrefix))):
			return nil, errTextProof
		}
	}
}

func notProven(f *Fault) *NotProvenError { return &NotProvenError{Faults: []*Fault{f}, Count: 1} }

// verify opens the checkpoint, computes the leaf of the entry that the proof carries, and goes from there to
// the checkpoint. The log is the one that the checkpoint names.
func (p TextProof) verify(report *Report, keys ledger.Keys) (id string, fault *Fault) {
	origin, _, _ := bytes.Cut(p.Checkpoint, []byte{'\n'})
	log, ok := ledger.LogOf(string(origin))
	if !ok {
		return "", &Fault{Kind: WrongLog, Detail: "its checkpoint is of " + ledger.Printable(string(origin)) + ", which is no log of events or of accesses"}
	}
	report.Log = log
	if report.Checkpoint, fault = openFor(log, p.Checkpoint, keys); fault != nil {
		return "", fault
	}
	shows, fault := p.shows(log)
	if fault == nil {
		e := bundleEntry{shows, p.Index, p.Proof}
		fault = e.verify(&report.Checkpoint.Checkpoint)
	}
	return shows.id, fault
}

// shows computes the leaf of the entry that the proof carries.
func (p TextProof) shows(log ledger.Log) (shown, *Fault) {
	if len(p.Extra) < len("{}") || p.Extra[0] != '{' {
		return shown{}, &Fault{Kind: Malformed, Detail: "the proof does not carry its entry"}
	}
	object := append(strconv.AppendInt([]byte(`{"position":`), p.Index, 10), ',')
	if p.Extra[1] == '}' {
		object = object[:len(object)-1]
	}
	shows, fault := readShown(log, append(object, p.Extra[1:]...))
	if fault == nil && shows.leaf != ledger.LeafHash(p.Extra) {
		fault = &Fault{Kind: BadEntry, Detail: "the entry that it carries is not in its canonical form"}
	}
	return shows, fault
}
