package evidence_test

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"testing"

	tproof "github.com/transparency-dev/formats/proof"
	"pgregory.net/rapid"

	"audittrail/modules/evidence"
	"audittrail/modules/ledger"
	"audittrail/modules/ledger/ledgertest"
)

func TestTextProofsVerify(t *testing.T) {
	h := newHistory(t, 70)
	keys := ledgertest.Trusting(t, h.key)
	for i := range h.events {
		text := h.textProof(i)
		var told evidence.Entry
		report, err := evidence.Verify(strings.NewReader(text), keys, func(e evidence.Entry) { told = e })
		if err != nil || report.Proven != 1 || report.Log != ledger.Events || told.ID != h.events[i].ID.String() || told.Index != int64(i) {
			t.Fatalf("%d: %+v, %v", i, report, err)
		}
	}
}

// The library of the specification's authors reads ours, and writes the same.
func TestTextProofIsTheLibrarys(t *testing.T) {
	h := newHistory(t, 70)
	for i := range h.events {
		var p tproof.TLogProof
		text := h.textProof(i)
		if err := p.Unmarshal([]byte(text)); err != nil {
			t.Fatal(err)
		}
		if p.Index != uint64(i) || !bytes.Equal(p.ExtraData, h.events[i].Canonical()) || !bytes.Equal(p.Checkpoint, h.signed) {
			t.Errorf("%d is read as %d", i, p.Index)
		}
		if got := string(p.Marshal()); got != text {
			t.Errorf("the library writes %s", got)
		}
	}
}

func TestTextProofOfAnAccess(t *testing.T) {
	h := newAccessHistory(t, 20)
	keys := ledgertest.Trusting(t, h.key)
	rest := "{" + strings.SplitN(h.lines[7], ",", 2)[1]
	for _, c := range []struct {
		name, extra string
		ok          bool
	}{
		{"canonical", ledgertest.Canonical(t, rest), true},
		{"not canonical", rest, false},
		{"with its position", ledgertest.Canonical(t, h.lines[7]), false},
		{"nothing", "", false},
		{"an empty object", "{}", false},
		{"no object", "[]", false},
	} {
		text := evidence.TextProof{Extra: []byte(c.extra), Index: 7, Proof: h.tree.Inclusion(20, 7)[0], Checkpoint: h.signed}.Append(nil)
		if report, err := verify(string(text), keys); (err == nil) != c.ok || report.Log != ledger.Access {
			t.Errorf("%s: %v", c.name, err)
		}
	}
}

func TestChangedTextProofsDoNotVerify(t *testing.T) {
	h := newHistory(t, 70)
	text := h.textProof(9)
	hash := h.tree.Inclusion(70, 9)[0][0].String()
	for _, c := range []struct {
		name, old, new string
		kind           evidence.FaultKind
	}{
		{"the index", "index 9\n", "index 8\n", evidence.NotIncluded},
		{"an index beyond", "index 9\n", "index 70\n", evidence.WrongIndex},
		{"an index spelled otherwise", "index 9\n", "index 09\n", evidence.Malformed},
		{"no index", "index 9\n", "", evidence.Malformed},
		{"a hash", hash, ledgertest.Numbered(1)[0].String(), evidence.NotIncluded},
		{"a hash less", hash + "\n", "", evidence.NotIncluded},
		{"as many as there may be", hash + "\n", strings.Repeat(hash+"\n", 58), evidence.NotIncluded},
		{"one more than that", hash + "\n", strings.Repeat(hash+"\n", 59), evidence.Malformed},
		{"a hundred more", hash + "\n", strings.Repeat(hash+"\n", 101), evidence.Malformed},
		{"returns", "\nindex 9\n", "\r\nindex 9\r\n", evidence.Malformed},
		{"a return in extra", "extra ey", "extra e\ry", evidence.Malformed},
		{"no word for the index", "\nindex 9\n", "\n9\n", evidence.Malformed},
		{"extra cut", "\nindex 9\n", "=\nindex 9\n", evidence.Malformed},
		{"the header", "@v1\n", "@v1\n\n", evidence.Malformed},
		{"the size", "\n70\n", "\n71\n", evidence.BadSignature},
		{"the log", "/events\n70", "/access\n70", evidence.BadSignature},
		{"no such log", "/events\n70", "/orders\n70", evidence.WrongLog},
	} {
		if strings.Count(text, c.old) != 1 {
			t.Fatalf("%q is not in the proof once", c.old)
		}
		_, err := verify(strings.Replace(text, c.old, c.new, 1), ledgertest.Trusting(t, h.key))
		var e *evidence.NotProvenError
		if !errors.As(err, &e) || e.Faults[0].Kind != c.kind {
			t.Errorf("%s: %v", c.name, err)
		}
	}
}

// Where the checkpoint is genuine the report has it, whatever became of the entry: as of a bundle.
func TestTextProofsAreReportedWithTheirCheckpoint(t *testing.T) {
	h := newHistory(t, 70)
	keys := ledgertest.Trusting(t, h.key)
	p, err := evidence.ParseTextProof([]byte(h.textProof(9)))
	if err != nil {
		t.Fatal(err)
	}
	if report, err := verify(h.textProof(9), ledgertest.Trusting(t, ledgertest.Key(t, 2))); err == nil || report.Checkpoint.Origin != "" {
		t.Errorf("%+v, %v", report, err)
	}
	for name, extra := range map[string][]byte{
		"another entry": h.events[8].Canonical(),
		"no entry":      []byte("{}"),
		"no JSON":       []byte("{"),
		"nothing":       nil,
	} {
		p.Extra = extra
		report, err := verify(string(p.Append(nil)), keys)
		var e *evidence.NotProvenError
		if !errors.As(err, &e) || report.Checkpoint.Size != 70 || report.Entries != 1 || e.Faults[0].Entry != 1 || e.Faults[0].Index != 9 {
			t.Errorf("%s: %+v, %v", name, report, err)
		}
	}
}

// A genuine entry and proof beside another genuine checkpoint: it is not said that either was changed.
func TestAnEntryBesideAnotherCheckpoint(t *testing.T) {
	h := newHistory(t, 70)
	keys := ledgertest.Trusting(t, h.key)
	later := ledgertest.Sign(t, ledger.Events, 60, h.tree.Root(60), h.key)
	proof := h.tree.Inclusion(70, 9)[0]
	var bundle bytes.Buffer
	w, err := evidence.NewBundleWriter(&bundle, ledger.Events, later)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(w.Event(&h.events[9], proof), w.Close()); err != nil {
		t.Fatal(err)
	}
	for _, text := range []string{bundle.String(), string(evidence.EventTextProof(&h.events[9], proof, later).Append(nil))} {
		_, err := verify(text, keys)
		var e *evidence.NotProvenError
		if !errors.As(err, &e) || e.Faults[0].Kind != evidence.NotIncluded || !strings.Contains(e.Faults[0].Detail, "or they belong to another checkpoint") {
			t.Errorf("%v", err)
		}
	}
}

// What begins like a proof and goes on without end is not read to the end.
func TestTextProofsThatCantBeAreNotRead(t *testing.T) {
	key := ledgertest.Trusting(t, ledgertest.Key(t, 1))
	const header, index = "c2sp.org/tlog-proof@v1\n", "index 1\n"
	for name, c := range map[string]struct{ start, again string }{
		"short lines":         {header, "a\n"},
		"one line":            {header, "a"},
		"the extra again":     {header, "extra e30=\n"},
		"hashes":              {header + index, ledgertest.Numbered(1)[0].String() + "\n"},
		"a long hash":         {header + index, "A"},
		"checkpoint":          {header + index + "\n", "A"},
		"lines of checkpoint": {header + index + "\n", "a\n"},
	} {
		read := &endless{start: c.start, again: c.again}
		_, err := evidence.Verify(read, key, nil)
		var e *evidence.NotProvenError
		if !errors.As(err, &e) || read.given > 2*ledger.MaxCheckpoint {
			t.Errorf("%s: %v after %d bytes", name, err, read.given)
		}
	}
}

// endless is a text, and then another again and again.
type endless struct {
	start, again string
	given        int
}

func (e *endless) Read(b []byte) (int, error) {
	if e.start == "" {
		e.start = strings.Repeat(e.again, 1+100/len(e.again))
	}
	n := copy(b, e.start)
	e.start = e.start[n:]
	e.given += n
	return n, nil
}

func TestMutatedTextProofsNeverVerifyAsAnother(t *testing.T) {
	h := newHistory(t, 70)
	keys := ledgertest.Trusting(t, h.key)
	rapid.Check(t, func(rt *rapid.T) {
		i := rapid.IntRange(0, 69).Draw(rt, "entry")
		text := []byte(h.textProof(i))
		text[rapid.IntRange(0, len(text)-1).Draw(rt, "at")] ^= byte(rapid.IntRange(1, 255).Draw(rt, "bits"))
		if _, err := verify(string(text), keys); err == nil {
			// A signature line of a key that nobody trusts may say anything.
			p, err := evidence.ParseTextProof(text)
			if err != nil || fmt.Sprint(p.Proof, p.Index) != fmt.Sprint(h.tree.Inclusion(70, int64(i))[0], i) || !bytes.Equal(p.Extra, h.events[i].Canonical()) {
				rt.Fatalf("verified %s", text)
			}
		}
	})
}

func FuzzParseTextProof(f *testing.F) {
	h := newHistory(f, 70)
	f.Add([]byte(h.textProof(17)))
	f.Add([]byte("c2sp.org/tlog-proof@v1\nindex 0\n\na\n0\n\n"))
	f.Fuzz(func(t *testing.T, text []byte) {
		p, err := evidence.ParseTextProof(text)
		if err != nil {
			return
		}
		if !bytes.Equal(p.Append(nil), text) || p.Index < 0 || len(p.Proof) > ledger.MaxProof {
			t.Errorf("%q", text)
		}
	})
}
