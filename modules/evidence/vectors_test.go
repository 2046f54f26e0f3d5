package evidence_test

import (
	"bytes"
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"testing"

	"audittrail/modules/event"
	"audittrail/modules/evidence"
	"audittrail/modules/ledger"
	"audittrail/modules/ledger/ledgertest"
)

var update = flag.Bool("update", false, "write the test vectors anew")

// vectors is testdata/vectors.json, which docs/EVIDENCE.md describes.
type vectors struct {
	Note         string              `json:"note"`
	Origin       string              `json:"origin"`
	SigningKey   string              `json:"signingKey"`
	VerifierKeys map[string]string   `json:"verifierKeys"`
	Numbers      [][2]string         `json:"numbers"`
	Canonical    []canonicalVector   `json:"canonical"`
	WithoutForm  []string            `json:"withoutForm"`
	Leaves       []leafVector        `json:"leaves"`
	Roots        []rootVector        `json:"roots"`
	Inclusion    []inclusionVector   `json:"inclusion"`
	Consistency  []consistencyVector `json:"consistency"`
	Checkpoints  []string            `json:"checkpoints"`
}

type canonicalVector struct {
	JSON      string `json:"json"`
	Canonical string `json:"canonical"`
}

type leafVector struct {
	Log       ledger.Log `json:"log"`
	Entry     string     `json:"entry"`
	Canonical string     `json:"canonical"`
	Leaf      string     `json:"leaf"`
}

type rootVector struct {
	Size int64  `json:"size"`
	Root string `json:"root"`
}

type inclusionVector struct {
	Index int64    `json:"index"`
	Size  int64    `json:"size"`
	Proof []string `json:"proof"`
}

type consistencyVector struct {
	From  int64    `json:"from"`
	To    int64    `json:"to"`
	Proof []string `json:"proof"`
}

func TestVectors(t *testing.T) {
	events, access := newHistory(t, 120), newAccessHistory(t, 30)
	v := vectors{
		Note:         "Test vectors of docs/EVIDENCE.md. Everybody knows the signing key: never use it.",
		Origin:       ledgertest.Origin,
		SigningKey:   events.key.Secret(),
		VerifierKeys: map[string]string{},
		WithoutForm: []string{``, `{`, `[1,]`, `01`, `1.`, `.5`, `+1`, `NaN`, `"\x"`, "\"\n\"", `{"a":1,"a":2}`, `{"a":1,"\u0061":2}`, `[{"b":{"c":0,"c":0}}]`,
			`"\ud83d"`, `"\ude00\ud83d"`, `"\u0000"`, `1e1000`, `1e-1000`, `[1] 2`, "\ufeff1"},
		Checkpoints: []string{string(events.signed), string(access.signed),
			string(ledgertest.Sign(t, ledger.Events, 120, events.tree.Root(120), events.key, ledgertest.Key(t, 2)))},
	}
	var keys string
	for _, log := range ledger.Logs() {
		v.VerifierKeys[string(log)] = events.key.VerifierKey(log)
		keys += events.key.VerifierKey(log) + "\n"
	}
	v.canonical(t)
	for i := range 60 {
		s := &events.events[i]
		v.Leaves = append(v.Leaves, leafVector{ledger.Events, string(s.AppendJSON(nil)), string(s.Canonical()), ledger.EventLeaf(s).String()})
	}
	v.Leaves = append(v.Leaves, leafVector{ledger.Access, access.lines[7], ledgertest.Canonical(t, `{`+access.lines[7][len(`{"position":7,`):]), access.tree.Hashes[7].String()})
	v.tree(t)
	text, err := json.MarshalIndent(v, "", " ")
	if err != nil {
		t.Fatal(err)
	}
	golden(t, "vectors.json", append(text, '\n'))
	golden(t, "keys.txt", []byte("# The verifier keys of the test vectors.\n"+keys))
	golden(t, "events.json", []byte(events.bundle(0, 17, 61, 119)))
	golden(t, "access.json", []byte(access.bundle(29, 3)))
	golden(t, "event.tlog-proof", []byte(events.textProof(17)))
	golden(t, "export.ndjson", []byte(events.export(0, 17, 61)))
}

func (v *vectors) canonical(t *testing.T) {
	t.Helper()
	for _, n := range []string{"0", "-0", "0.0e9", "0e99999999999999999999", "1", "-1", "1.50", "15e-1", "1e20", "1e21", "1E+400", "-1e-400", "123456789012345678901",
		"1234567890123456789012", "1234567890123456789012.5", "9223372036854775808", "333333333.33333329", "0.000001", "0.0000001", "0.00000123", "12e-8",
		"12.30e2", "1e-00000000000000000000002", "0.1000000000000000055511151231257827", "1e999", "1e-999"} {
		v.Numbers = append(v.Numbers, [2]string{n, ledgertest.Canonical(t, n)})
	}
	for _, text := range []string{
		" [ 1 ,\t{ } , [ ] ,\n{ \"a\" : \"b c\" } , null, true, false ]\r\n",
		`{"\u20ac":1,"\r":2,"\ufb33":3,"1":4,"\ud83d\ude00":5,"\u0080":6,"\u00f6":7}`,
		`{"ab":1,"a":2,"":3,"a\u0001":4,"\\":5,"\"":6,"!":7,"#":8}`,
		`"\u20ac$\u000F\u000aA'\u0042\u0022\u005c\\\"\/\b\f\n\r\t\u001f\u007f\u2028\u00e9e\u0301"`,
		`{"b":{"z":1.0,"y":[1e2,-0]},"a":"` + "\U0010ffff\uffff" + `"}`,
	} {
		v.Canonical = append(v.Canonical, canonicalVector{text, ledgertest.Canonical(t, text)})
	}
	for _, text := range v.WithoutForm {
		if form, err := event.Canonicalize(nil, []byte(text)); err == nil {
			t.Errorf("%q has the form %q", text, form)
		}
	}
}

// tree adds what is known of a log whose leaves are numbers.
func (v *vectors) tree(t *testing.T) {
	t.Helper()
	sizes := []int64{0, 1, 2, 3, 4, 5, 7, 8, 9, 100, 255, 256, 257, 1000, 65536, 66000}
	m := ledgertest.NewMemory(t, ledgertest.Numbered(66_000))
	for i, size := range sizes {
		root := m.Root(size)
		if root != ledgertest.PlainRoot(m.Hashes[:size]) {
			t.Errorf("the root at size %d is another", size)
		}
		v.Roots = append(v.Roots, rootVector{size, root.String()})
		if size == 0 {
			continue
		}
		for _, index := range []int64{0, size / 3, size - 1} {
			v.Inclusion = append(v.Inclusion, inclusionVector{index, size, texts(m.Inclusion(size, index)[0])})
		}
		for _, from := range []int64{sizes[i], sizes[(i+1)/2], sizes[max(i-1, 1)]} {
			v.Consistency = append(v.Consistency, consistencyVector{from, size, texts(m.Consistency(from, size))})
		}
	}
}

func texts(p ledger.Proof) []string {
	out := make([]string, len(p))
	for i, h := range p {
		out[i] = h.String()
	}
	return out
}

// golden holds a file of testdata against what it should be.
func golden(t *testing.T, name string, want []byte) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(path, want, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("%s is not what the program makes: the formats MUST NOT change (or run with -update)", path)
	}
}

// The committed files verify by themselves, with the committed keys.
func TestCommittedEvidenceVerifies(t *testing.T) {
	text, err := os.ReadFile(filepath.Join("testdata", "keys.txt"))
	if err != nil {
		t.Fatal(err)
	}
	keys := ledgertest.Keys(t, string(text))
	for name, entries := range map[string]int64{"events.json": 4, "access.json": 2, "event.tlog-proof": 1, "export.ndjson": 3} {
		f, err := os.Open(filepath.Join("testdata", name))
		if err != nil {
			t.Fatal(err)
		}
		report, err := evidence.Verify(f, keys, nil)
		if err != nil || report.Entries != entries || report.Form != evidence.FormExport && report.Proven != entries {
			t.Errorf("%s: %+v, %v", name, report, err)
		}
		if err := f.Close(); err != nil {
			t.Error(err)
		}
	}
}
