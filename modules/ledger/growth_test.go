package ledger_test

import (
	"errors"
	"io"
	"slices"
	"strings"
	"testing"
	"testing/iotest"

	"audittrail/modules/ledger"
)

// head is the opened checkpoint of the log at a size, and its note.
func head(t *testing.T, m *memory, size int64) (ledger.Signed, string) {
	t.Helper()
	k := testKey(t, 1)
	text := sign(t, ledger.Events, size, m.root(size), k)
	opened, err := ledger.OpenCheckpoint(text, trusting(t, k))
	if err != nil {
		t.Fatal(err)
	}
	return opened, string(text)
}

func TestGrewFrom(t *testing.T) {
	m, other := newMemory(t, numbered(20)), newMemory(t, numbered(21)[1:])
	at7, _ := head(t, m, 7)
	at20, _ := head(t, m, 20)
	other20, _ := head(t, other, 20)
	access20 := at20
	access20.Origin = ledger.Access.Origin("audit.test/shop")
	right, wrong := m.consistency(7, 20), m.consistency(8, 20)
	for name, c := range map[string]struct {
		later, earlier ledger.Signed
		proof          ledger.Proof
		kind           ledger.FaultKind
		says           string
	}{
		"grew":              {at20, at7, right, "", ""},
		"the same":          {at20, at20, nil, "", ""},
		"mixed up":          {at7, at20, right, ledger.NotConsistent, "7 entries, fewer than the 20"},
		"no proof":          {at20, at7, nil, ledger.NotConsistent, "does not lead"},
		"of other sizes":    {at20, at7, wrong, ledger.NotConsistent, "does not lead"},
		"needless proof":    {at20, at20, right, ledger.NotConsistent, "does not lead"},
		"two histories":     {other20, at20, nil, ledger.NotConsistent, "two histories"},
		"rewritten history": {other20, at7, other.consistency(7, 20), ledger.NotConsistent, "does not lead"},
		"two logs":          {access20, at7, right, ledger.WrongLog, "two logs"},
	} {
		t.Run(name, func(t *testing.T) {
			fault := c.later.GrewFrom(&c.earlier.Checkpoint, c.proof)
			switch {
			case c.kind == "" && fault != nil:
				t.Error(fault)
			case c.kind != "" && (fault == nil || fault.Kind != c.kind || !strings.Contains(fault.Detail, c.says)):
				t.Errorf("%v, not %s: %s", fault, c.kind, c.says)
			}
		})
	}
}

func TestReadConsistency(t *testing.T) {
	p := newMemory(t, numbered(20)).consistency(7, 20)
	text := `{"proof":` + string(p.AppendJSON(nil)) + `}`
	for _, spelled := range []string{text, " \n" + strings.ReplaceAll(text, ",", ",\n\t") + "\n"} {
		if got, err := ledger.ReadConsistency(strings.NewReader(spelled)); err != nil || !slices.Equal(got, p) {
			t.Errorf("%v, %v", got, err)
		}
	}
	if got, err := ledger.ReadConsistency(strings.NewReader(`{"proof":[]}`)); err != nil || len(got) != 0 {
		t.Errorf("%v, %v", got, err)
	}
	hash := string(p[:1].AppendJSON(nil))
	for name, text := range map[string]string{
		"nothing":     "",
		"text":        "proof",
		"a list":      hash,
		"empty":       "{}",
		"cut":         text[:len(text)-1],
		"twice":       `{"proof":[],"proof":[]}`,
		"more":        `{"proof":[],"size":3}`,
		"another":     `{"proofs":[]}`,
		"no list":     `{"proof":"` + p[0].String() + `"}`,
		"a short one": `{"proof":["AA=="]}`,
		"a number":    `{"proof":[1]}`,
		"many":        `{"proof":[` + strings.Repeat(strings.Trim(hash, "[]")+",", 64) + strings.Trim(hash, "[]") + `]}`,
		"long":        strings.Repeat(" ", 7000) + text,
		"behind":      text + "{}",
	} {
		if got, err := ledger.ReadConsistency(strings.NewReader(text)); err == nil {
			t.Errorf("%s: %v", name, got)
		}
	}
	broken := errors.New("broken disk")
	if _, err := ledger.ReadConsistency(io.MultiReader(strings.NewReader("{"), iotest.ErrReader(broken))); !errors.Is(err, broken) {
		t.Error(err)
	}
}

// A checkpoint alone is evidence without entries. Whatever byte of it is changed, it is refused; and from
// the second line on it is still seen to be a checkpoint.
func TestVerifyACheckpointAlone(t *testing.T) {
	m := newMemory(t, numbered(20))
	want, text := head(t, m, 20)
	keys := trusting(t, testKey(t, 1))
	report, err := ledger.Verify(strings.NewReader(text), keys, nil)
	if err != nil || report.Form != ledger.FormCheckpoint || report.Log != ledger.Events || report.Checkpoint.Root != want.Root || report.Entries != 0 {
		t.Fatalf("%+v, %v", report, err)
	}
	var not *ledger.NotProvenError
	var unreadable *ledger.UnreadableError
	for at := range len(text) {
		for _, bits := range []byte{1, 2, 32, 128} {
			changed := []byte(text)
			changed[at] ^= bits
			report, err := ledger.Verify(strings.NewReader(string(changed)), keys, nil)
			seen := errors.As(err, &not) || at <= strings.IndexByte(text, '\n')+1 && errors.As(err, &unreadable)
			if !seen || report.Checkpoint.Origin != "" {
				t.Fatalf("byte %d changed by %d: %+v, %v", at, bits, report, err)
			}
		}
	}
	if _, err := ledger.Verify(strings.NewReader(text+strings.Repeat("x", ledger.MaxCheckpoint)), keys, nil); !errors.As(err, &not) {
		t.Error(err)
	}
	for _, text := range []string{"audit.test/shop/events\n", "audit.test/shop/events\nx", "minutes of the meeting\n3 of us\n"} {
		if _, err := ledger.Verify(strings.NewReader(text), keys, nil); !errors.As(err, &unreadable) {
			t.Errorf("%q: %v", text, err)
		}
	}
}
