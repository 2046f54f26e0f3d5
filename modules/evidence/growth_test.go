package evidence_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"
	"testing/iotest"

	"golang.org/x/mod/sumdb/note"

	"audittrail/modules/evidence"
	"audittrail/modules/ledger"
	"audittrail/modules/ledger/ledgertest"
)

// head is the opened checkpoint of the log at a size, and its note.
func head(t *testing.T, m *ledgertest.Memory, size int64) (ledger.Signed, string) {
	t.Helper()
	k := ledgertest.Key(t, 1)
	text := ledgertest.Sign(t, ledger.Events, size, m.Root(size), k)
	opened, err := ledger.OpenCheckpoint(text, ledgertest.Trusting(t, k))
	if err != nil {
		t.Fatal(err)
	}
	return opened, string(text)
}

func TestGrewFrom(t *testing.T) {
	m, other := ledgertest.NewMemory(t, ledgertest.Numbered(20)), ledgertest.NewMemory(t, ledgertest.Numbered(21)[1:])
	at7, _ := head(t, m, 7)
	at20, _ := head(t, m, 20)
	other20, _ := head(t, other, 20)
	access20 := at20
	access20.Origin = ledger.Access.Origin("audit.test/shop")
	at0, _ := head(t, m, 0)
	forged0 := at0
	forged0.Root = at7.Root
	right, wrong := m.Consistency(7, 20), m.Consistency(8, 20)
	for name, c := range map[string]struct {
		later, earlier ledger.Signed
		proof          ledger.Proof
		kind           evidence.FaultKind
		says           string
	}{
		"grew":              {at20, at7, right, "", ""},
		"the same":          {at20, at20, nil, "", ""},
		"mixed up":          {at7, at20, right, evidence.NotConsistent, "7 entries, fewer than the 20"},
		"no proof":          {at20, at7, nil, evidence.NotConsistent, "does not lead"},
		"of other sizes":    {at20, at7, wrong, evidence.NotConsistent, "does not lead"},
		"needless proof":    {at20, at20, right, evidence.NotConsistent, "does not lead"},
		"two histories":     {other20, at20, nil, evidence.NotConsistent, "two histories"},
		"rewritten history": {other20, at7, other.Consistency(7, 20), evidence.NotConsistent, "does not lead"},
		"from nothing":      {at20, at0, nil, "", ""},
		"still nothing":     {at0, at0, nil, "", ""},
		"a proof from that": {at20, at0, right, evidence.NotConsistent, "does not lead"},
		"from no nothing":   {at20, forged0, nil, evidence.NotConsistent, "does not lead"},
		"two logs":          {access20, at7, right, evidence.WrongLog, "two logs"},
	} {
		t.Run(name, func(t *testing.T) {
			fault := evidence.GrewFrom(&c.later.Checkpoint, &c.earlier.Checkpoint, c.proof)
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
	p := ledgertest.NewMemory(t, ledgertest.Numbered(20)).Consistency(7, 20)
	text := `{"proof":` + string(p.AppendJSON(nil)) + `}`
	for _, spelled := range []string{text, " \n" + strings.ReplaceAll(text, ",", ",\n\t") + "\n"} {
		if got, err := evidence.ReadConsistency(strings.NewReader(spelled)); err != nil || !slices.Equal(got, p) {
			t.Errorf("%v, %v", got, err)
		}
	}
	if got, err := evidence.ReadConsistency(strings.NewReader(`{"proof":[]}`)); err != nil || len(got) != 0 {
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
		if got, err := evidence.ReadConsistency(strings.NewReader(text)); err == nil {
			t.Errorf("%s: %v", name, got)
		}
	}
	broken := errors.New("broken disk")
	if _, err := evidence.ReadConsistency(io.MultiReader(strings.NewReader("{"), iotest.ErrReader(broken))); !errors.Is(err, broken) {
		t.Error(err)
	}
}

// A checkpoint alone is evidence without entries. Whatever byte of it is changed, it is refused, and still seen to
// be a checkpoint.
func TestVerifyACheckpointAlone(t *testing.T) {
	m := ledgertest.NewMemory(t, ledgertest.Numbered(20))
	want, text := head(t, m, 20)
	keys := ledgertest.Trusting(t, ledgertest.Key(t, 1))
	report, err := evidence.Verify(strings.NewReader(text), keys, nil)
	if err != nil || report.Form != evidence.FormCheckpoint || report.Log != ledger.Events || report.Checkpoint.Root != want.Root || report.Entries != 0 {
		t.Fatalf("%+v, %v", report, err)
	}
	refused := func(name, text string) {
		t.Helper()
		report, err := evidence.Verify(strings.NewReader(text), keys, nil)
		var not *evidence.NotProvenError
		if !errors.As(err, &not) || report.Form != evidence.FormCheckpoint || report.Checkpoint.Origin != "" {
			t.Errorf("%s: %+v, %v", name, report, err)
		}
	}
	for at := range len(text) {
		for _, bits := range []byte{1, 2, 32, 128} {
			changed := []byte(text)
			changed[at] ^= bits
			refused(fmt.Sprintf("byte %d changed by %d", at, bits), string(changed))
		}
	}
	for end := len(want.Origin); end < len(text); end++ {
		refused(fmt.Sprintf("cut at %d", end), text[:end])
	}
	refused("too long", text+strings.Repeat("x", ledger.MaxCheckpoint))
	refused("empty lines", want.Origin+"\n\n\n")
	for _, text := range []string{want.Origin[:len(want.Origin)-1], want.Origin + "\nx", want.Origin + "\n\nx", "minutes of the meeting\n3 of us\n", "count\n8\n9\n", "\n\n", "\u2014 a b\n", "a\n\n\u2014"} {
		var unreadable *evidence.UnreadableError
		if _, err := evidence.Verify(strings.NewReader(text), keys, nil); !errors.As(err, &unreadable) {
			t.Errorf("%q: %v", text, err)
		}
	}
}

// What became of a checkpoint is said in words for it, and not that it is no JSON.
func TestCheckpointsAloneSayWhatIsWrong(t *testing.T) {
	k := ledgertest.Key(t, 1)
	_, text := head(t, ledgertest.NewMemory(t, ledgertest.Numbered(20)), 20)
	windows := strings.ReplaceAll(text, "\n", "\r\n")
	foreign, foreignKey := foreignCheckpoint(t)
	for name, c := range map[string]struct {
		text string
		keys ledger.Keys
		kind evidence.FaultKind
		says string
		log  ledger.Log
	}{
		"lines of Windows":           {windows, ledgertest.Trusting(t, k), evidence.Malformed, "end as Windows has them", ledger.Events},
		"lines of Windows, cut":      {windows[:len(ledgertest.Origin)+len("/events\r\n")], ledgertest.Trusting(t, k), evidence.Malformed, "end as Windows has them", ledger.Events},
		"cut behind its first line":  {text[:strings.Index(text, "\n")+1], ledgertest.Trusting(t, k), evidence.Malformed, "cut or changed", ledger.Events},
		"cut in its second line":     {text[:strings.Index(text, "\n")+2], ledgertest.Trusting(t, k), evidence.Malformed, "cut or changed", ledger.Events},
		"its signature cut":          {text[:strings.Index(text, "\n\n")+1], ledgertest.Trusting(t, k), evidence.Malformed, "cut or changed", ledger.Events},
		"of another kind of log":     {foreign, ledgertest.Keys(t, foreignKey), evidence.WrongLog, "the checkpoint is of audit.example.com/orders, which is no log of events or of accesses", ""},
		"of a log without a key":     {foreign, ledgertest.Trusting(t, k), evidence.UnknownKey, "but by audit.example.com/orders+", ""},
		"that, its signature cut":    {foreign[:strings.Index(foreign, "\n\n")+1], ledgertest.Keys(t, foreignKey), evidence.Malformed, "cut or changed", ""},
		"a name that was changed":    {"x" + text, ledgertest.Trusting(t, k), evidence.BadSignature, "changed after it was signed", ledger.Events},
		"a log that was changed":     {strings.Replace(text, "/events\n", "/orders\n", 1), ledgertest.Trusting(t, k), evidence.BadSignature, "changed after it was signed", ""},
		"a size that is none":        {strings.Replace(text, "\n20\n", "\nx\n", 1), ledgertest.Trusting(t, k), evidence.BadSignature, "changed after it was signed", ledger.Events},
		"a size that ends otherwise": {strings.Replace(text, "\n20\n", "\n2O\n", 1), ledgertest.Trusting(t, k), evidence.BadSignature, "changed after it was signed", ledger.Events},
	} {
		t.Run(name, func(t *testing.T) {
			report, err := verify(c.text, c.keys)
			var e *evidence.NotProvenError
			if !errors.As(err, &e) || e.Faults[0].Kind != c.kind || !strings.Contains(e.Faults[0].Detail, c.says) || report.Form != evidence.FormCheckpoint || report.Log != c.log {
				t.Errorf("%+v, %v", report, err)
			}
		})
	}
}

// foreignCheckpoint is a genuine checkpoint of a log that is none of ours, and the key that signed it.
func foreignCheckpoint(t *testing.T) (signed, key string) {
	t.Helper()
	const name = "audit.example.com/orders"
	secret, key, err := note.GenerateKey(bytes.NewReader(make([]byte, 32)), name)
	if err != nil {
		t.Fatal(err)
	}
	signer, err := note.NewSigner(secret)
	if err != nil {
		t.Fatal(err)
	}
	text, err := ledger.Checkpoint{Origin: name, Size: 20, Root: ledgertest.Numbered(1)[0]}.Sign(signer)
	if err != nil {
		t.Fatal(err)
	}
	return string(text), key
}
