package evidence_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"audittrail/modules/event"
	"audittrail/modules/evidence"
	"audittrail/modules/ledger"
	"audittrail/modules/ledger/ledgertest"
)

// history is a log of events, or of accesses, with its signed checkpoint.
type history struct {
	t      testing.TB
	key    ledger.SigningKey
	log    ledger.Log
	events []event.Stored // of the log of events
	lines  []string       // of the access log
	tree   *ledgertest.Memory
	signed []byte
}

func newHistory(t testing.TB, n int) *history {
	t.Helper()
	h := &history{t: t, key: ledgertest.Key(t, 1), log: ledger.Events, events: ledgertest.StoredEvents(t, n)}
	leaves := make([]ledger.Hash, n)
	for i := range h.events {
		leaves[i] = ledger.EventLeaf(&h.events[i])
	}
	return h.sign(leaves)
}

// newAccessHistory is a log of accesses: objects of which the ledger knows nothing but the position.
func newAccessHistory(t testing.TB, n int) *history {
	t.Helper()
	h := &history{t: t, key: ledgertest.Key(t, 1), log: ledger.Access}
	leaves := make([]ledger.Hash, n)
	for i := range n {
		rest := fmt.Sprintf(`"time":"2026-06-01T12:00:00.%06dZ","principal":"anna","roles":["auditor"],"events":%d,"salt":"%022d"}`, i, i%50, i)
		h.lines = append(h.lines, fmt.Sprintf(`{"position":%d,`, i)+rest)
		canonical, err := event.Canonicalize(nil, []byte("{"+rest))
		if err != nil {
			t.Fatal(err)
		}
		leaves[i] = ledger.LeafHash(canonical)
	}
	return h.sign(leaves)
}

func (h *history) sign(leaves []ledger.Hash) *history {
	h.tree = ledgertest.NewMemory(h.t, leaves)
	h.tree.Build(int64(len(leaves)))
	h.signed = ledgertest.Sign(h.t, h.log, int64(len(leaves)), h.tree.Root(int64(len(leaves))), h.key)
	return h
}

// bundle is the evidence of some entries.
func (h *history) bundle(indexes ...int) string {
	h.t.Helper()
	var out bytes.Buffer
	w, err := evidence.NewBundleWriter(&out, h.log, h.signed)
	if err != nil {
		h.t.Fatal(err)
	}
	for _, i := range indexes {
		proof := h.tree.Inclusion(int64(len(h.tree.Hashes)), int64(i))[0]
		if h.log == ledger.Events {
			err = w.Event(&h.events[i], proof) // unchecked, so that tests can write what does not verify
		} else {
			err = w.Entry([]byte(h.lines[i]), int64(i), proof)
		}
		if err != nil {
			h.t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		h.t.Fatal(err)
	}
	return out.String()
}

// textProof is the evidence of one entry as text.
func (h *history) textProof(i int) string {
	h.t.Helper()
	p := h.tree.Inclusion(int64(len(h.tree.Hashes)), int64(i))[0]
	return string(evidence.EventTextProof(&h.events[i], p, h.signed).Append(nil))
}

func verify(text string, keys ledger.Keys) (evidence.Report, error) {
	return evidence.VerifyFile(func() (io.Reader, error) { return strings.NewReader(text), nil }, keys, nil)
}

func TestBundlesVerify(t *testing.T) {
	for _, h := range []*history{newHistory(t, 1), newHistory(t, 700), newAccessHistory(t, 300)} {
		n := len(h.tree.Hashes)
		keys := ledgertest.Trusting(t, h.key)
		for i := range n {
			report, err := verify(h.bundle(i), keys)
			if err != nil || report.Proven != 1 || report.Log != h.log || report.Checkpoint.Size != int64(n) || !report.Distinct {
				t.Fatalf("%s %d: %+v, %v", h.log, i, report, err)
			}
		}
		var all []int
		for i := range n {
			all = append(all, (i*37+5)%n)
		}
		if n%37 == 0 {
			t.Fatal("pick another step")
		}
		var told int64
		report, err := evidence.Verify(iotestOneByte{strings.NewReader(h.bundle(all...))}, keys, func(e evidence.Entry) {
			if told++; e.Number != told || e.Fault != nil || (e.ID == "") != (h.log == ledger.Access) {
				t.Errorf("told of %+v", e)
			}
		})
		if err != nil || report.Proven != int64(n) || told != int64(n) {
			t.Fatalf("%s: %+v, %v", h.log, report, err)
		}
	}
}

// iotestOneByte reads byte by byte, as the slowest network would.
type iotestOneByte struct{ r io.Reader }

func (o iotestOneByte) Read(b []byte) (int, error) { return o.r.Read(b[:min(1, len(b))]) }

func TestABundleWithoutEntriesVerifiesAsThat(t *testing.T) {
	h := newHistory(t, 3)
	if report, err := verify(h.bundle(), ledgertest.Trusting(t, h.key)); err != nil || report.Entries != 0 || report.Proven != 0 {
		t.Errorf("%+v, %v", report, err)
	}
}

// Other spellings that say the same verify: tools that reformat JSON do no harm.
func TestReformattedBundlesVerify(t *testing.T) {
	h := newHistory(t, 9)
	b := h.bundle(4)
	for name, text := range map[string]string{
		"spaces":            strings.ReplaceAll(b, `,"`, ",\n\t \""),
		"members moved":     strings.Replace(strings.Replace(b, `"log":"events",`, ``, 1), `"checkpoint"`, `"log":"events","checkpoint"`, 1),
		"entry moved":       moveIndex(b),
		"escapes":           strings.Replace(b, `"eventType"`, `"\u0065ventType"`, 1),
		"slashes escaped":   strings.Replace(b, `"audittrail-evidence/v1"`, `"audittrail-evidence\/v1"`, 1),
		"whitespace around": " \n" + b + "\n\n",
		"jq -S":             reordered(t, b, "checkpoint", "entries", "format", "log"),
		"jsonb":             reordered(t, b, "log", "format", "entries", "checkpoint"),
		"entries first":     reordered(t, b, "entries", "checkpoint", "format", "log"),
	} {
		if report, err := verify(text, ledgertest.Trusting(t, h.key)); err != nil || report.Proven != 1 {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// reordered is a bundle with its members in another order.
func reordered(t testing.TB, bundle string, names ...string) string {
	t.Helper()
	var members map[string]json.RawMessage
	if err := json.Unmarshal([]byte(bundle), &members); err != nil {
		t.Fatal(err)
	}
	var parts []string
	for _, name := range names {
		parts = append(parts, fmt.Sprintf("%q:%s", name, members[name]))
	}
	return "{" + strings.Join(parts, ",") + "}"
}

// A bundle with its entries before the checkpoint verifies as a file, and is no more proven than any other if
// it was changed. By a pipe it is unreadable, and not called false.
func TestEntriesBeforeTheCheckpoint(t *testing.T) {
	h := newHistory(t, 60)
	keys := ledgertest.Trusting(t, h.key)
	good := reordered(t, h.bundle(4, 7), "checkpoint", "entries", "format", "log")
	var unreadable *evidence.UnreadableError
	if _, err := evidence.Verify(strings.NewReader(good), keys, nil); !errors.As(err, &unreadable) || !strings.Contains(err.Error(), "no format before its entries, so that it has to be read twice: give it as a file") {
		t.Errorf("a pipe: %v", err)
	}
	var told int
	report, err := evidence.VerifyFile(func() (io.Reader, error) { return strings.NewReader(good), nil }, keys, func(evidence.Entry) { told++ })
	if err != nil || report.Proven != 2 || report.Entries != 2 || told != 2 {
		t.Errorf("%+v, %v, told of %d", report, err, told)
	}
	for name, c := range map[string]struct {
		text   string
		proven int64
	}{
		"an event changed":      {strings.Replace(good, `"partition":4`, `"partition":3`, 1), 1},
		"no checkpoint":         {reordered(t, h.bundle(4), "entries", "format", "log"), 0},
		"another's checkpoint":  {reordered(t, newAccessHistory(t, 60).bundle(4), "entries", "checkpoint", "format", "log"), 0},
		"the entries twice":     {reordered(t, h.bundle(4), "entries", "checkpoint", "entries", "format", "log"), 0},
		"the log twice":         {reordered(t, h.bundle(4), "entries", "checkpoint", "log", "format", "log"), 0},
		"entries that are none": {`{"log":"events","entries":7,"checkpoint":"x","format":"x"}`, 0},
		"a member of none":      {strings.Replace(good, `,"log"`, `,"note":"","log"`, 1), 0},
	} {
		if name == "another's checkpoint" {
			c.text = strings.Replace(c.text, `"log":"access"`, `"log":"events"`, 1)
		}
		report, err := verify(c.text, keys)
		var not *evidence.NotProvenError
		if !errors.As(err, &not) || report.Proven != c.proven {
			t.Errorf("%s: %+v, %v", name, report, err)
		}
	}
	for _, cut := range []int{len(good) - 1, len(good) / 2} {
		if _, err := verify(good[:cut], keys); !errors.As(err, &unreadable) {
			t.Errorf("cut at %d: %v", cut, err)
		}
	}
}

func moveIndex(b string) string {
	return strings.Replace(strings.Replace(b, `,"index":4`, ``, 1), `{"event":`, `{"index":4,"event":`, 1)
}

// What becomes of a bundle that somebody changed: the kind of the fault, and that it names the event.
func TestChangedBundlesDoNotVerify(t *testing.T) {
	h := newHistory(t, 60)
	b := h.bundle(4)
	other := h.bundle(5)
	access := newAccessHistory(t, 60)
	hash := h.tree.Inclusion(60, 4)[0][0].String()
	for _, c := range []struct {
		name, old, new string
		kind           evidence.FaultKind
		ofEvent        bool
	}{
		{"a time", `"recordedAt":"2026-06-01T12:00:00.000000Z"`, `"recordedAt":"2026-06-01T12:00:00.000001Z"`, evidence.NotIncluded, true},
		{"the same time otherwise", `"recordedAt":"2026-06-01T12:00:00.000000Z"`, `"recordedAt":"2026-06-01T12:00:00Z"`, evidence.BadEntry, true},
		{"the partition", `"partition":4`, `"partition":3`, evidence.NotIncluded, true},
		{"the topic", `"topic":"orders"`, `"topic":"order"`, evidence.NotIncluded, true},
		{"the payload", `"payload":{`, `"payload":{"":0,`, evidence.NotIncluded, true},
		{"a member more", `"eventType":`, `"approved":true,"eventType":`, evidence.BadEntry, true},
		{"a member twice", `"eventType":`, `"eventType":"x","eventType":`, evidence.BadEntry, true},
		{"a member twice by an escape", `"eventType":`, `"\u0065ventType":"x","eventType":`, evidence.BadEntry, true},
		{"a member twice inside", `"topic":"orders"`, `"topic":"x","topic":"orders"`, evidence.BadEntry, true},
		{"the position", `"position":4`, `"position":5`, evidence.WrongIndex, true},
		{"no position", `"position":4,`, ``, evidence.BadEntry, true},
		{"the index", `"index":4`, `"index":5`, evidence.WrongIndex, true},
		{"an index that is broken", `"index":4`, `"index":4.5`, evidence.Malformed, true},
		{"an index spelled otherwise", `"index":4`, `"index":4e0`, evidence.Malformed, true},
		{"an index as text", `"index":4`, `"index":"4"`, evidence.Malformed, true},
		{"a negative index", `"index":4`, `"index":-4`, evidence.Malformed, true},
		{"no index", `,"index":4`, ``, evidence.Malformed, true},
		{"two indexes", `"index":4`, `"index":4,"index":4`, evidence.Malformed, true},
		{"a hash", hash, ledgertest.Numbered(1)[0].String(), evidence.NotIncluded, true},
		{"a hash cut", hash, hash[:43], evidence.Malformed, true},
		{"a hash that is a number", `"` + hash + `"`, `7`, evidence.Malformed, true},
		{"a hash less", `"` + hash + `",`, ``, evidence.NotIncluded, true},
		{"a hash more", `"` + hash + `"`, `"` + hash + `","` + hash + `"`, evidence.NotIncluded, true},
		{"a hundred hashes more", `"` + hash + `"`, strings.Repeat(`"`+hash+`",`, 100) + `"` + hash + `"`, evidence.Malformed, true},
		{"a proof that is none", `"proof":["`, `"proof":{"":["`, "", false}, // no JSON any more
		{"an entry's member more", `"index":4`, `"index":4,"leaf":"x"`, evidence.Malformed, true},
		{"an entry twice", b[strings.Index(b, "\n{"):strings.Index(b, "\n]}")], `` + b[strings.Index(b, "\n{"):strings.Index(b, "\n]}")] + "," + b[strings.Index(b, "\n{"):strings.Index(b, "\n]}")], evidence.Repeated, true},
		{"another entry's proof", b[strings.Index(b, `"proof"`):], other[strings.Index(other, `"proof"`):], evidence.NotIncluded, true},
		{"an entry that is none", b[strings.Index(b, "\n{")+1 : strings.Index(b, "\n]}")], `[]`, evidence.Malformed, false},
		{"the log", `"log":"events"`, `"log":"access"`, evidence.WrongLog, false},
		{"no such log", `"log":"events"`, `"log":"orders"`, evidence.Malformed, false},
		{"the format", `evidence/v1`, `evidence/v2`, evidence.Malformed, false},
		{"a member unknown", `"log":"events"`, `"log":"events","note":"approved"`, evidence.Malformed, false},
		{"the log twice", `"log":"events"`, `"log":"events","log":"events"`, evidence.Malformed, false},
		{"no log", `"log":"events",`, ``, evidence.Malformed, false},
		{"a log that is a number", `"log":"events"`, `"log":7`, evidence.Malformed, false},
		{"entries that are none", `"entries":[`, `"entries":"",` + `"x":[`, evidence.Malformed, false},
		{"a member behind the entries", "\n]}\n", "\n],\"x\":1}\n", evidence.Malformed, false},
		{"the checkpoint's size", `events\n60\n`, `events\n61\n`, evidence.BadSignature, false},
		{"the checkpoint cut", `\n","entries"`, `","entries"`, evidence.Malformed, false},
		{"the other log's checkpoint", string(quoted(t, h.signed)), string(quoted(t, access.signed)), evidence.WrongLog, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			if strings.Count(b, c.old) != 1 {
				t.Fatalf("%q is not in the bundle once", c.old)
			}
			report, err := verify(strings.Replace(b, c.old, c.new, 1), ledgertest.Trusting(t, h.key))
			if c.kind == "" {
				var unreadable *evidence.UnreadableError
				if !errors.As(err, &unreadable) {
					t.Errorf("got %v", err)
				}
				return
			}
			var e *evidence.NotProvenError
			if !errors.As(err, &e) || e.Count != 1 || e.Faults[0].Kind != c.kind {
				t.Fatalf("got %v", err)
			}
			if named := strings.Contains(err.Error(), h.events[4].ID.String()); named != c.ofEvent {
				t.Errorf("says %v", err)
			}
			if c.kind != evidence.Repeated && c.name != "a member behind the entries" && report.Proven != 0 {
				t.Errorf("%d are proven", report.Proven)
			}
		})
	}
}

// noObjects are JSON, and no entries.
func noObjects() []string {
	return []string{"7", "-7", "[]", `["position",1]`, "null", "true", `""`, `"position"`, `"{\"position\":4}"`}
}

// showing is a bundle of one entry that shows a value, whatever that is.
func (h *history) showing(value string) string {
	h.t.Helper()
	var out bytes.Buffer
	w, err := evidence.NewBundleWriter(&out, h.log, h.signed)
	if err != nil {
		h.t.Fatal(err)
	}
	if err := errors.Join(w.Entry([]byte(value), 4, h.tree.Inclusion(int64(len(h.tree.Hashes)), 4)[0]), w.Close()); err != nil {
		h.t.Fatal(err)
	}
	return out.String()
}

// An entry that is no object is refused, and whatever stands in an object's place is not read as one.
func TestEntriesThatAreNoObjects(t *testing.T) {
	for _, h := range []*history{newHistory(t, 9), newAccessHistory(t, 9)} {
		for _, value := range noObjects() {
			_, err := verify(h.showing(value), ledgertest.Trusting(t, h.key))
			var e *evidence.NotProvenError
			if !errors.As(err, &e) || e.Faults[0].Kind != evidence.BadEntry || !strings.Contains(e.Faults[0].Detail, "is not an object") {
				t.Errorf("%s, %s: %v", h.log, value, err)
			}
		}
	}
}

func quoted(t *testing.T, b []byte) []byte {
	t.Helper()
	var out bytes.Buffer
	if _, err := evidence.NewBundleWriter(&out, ledger.Events, b); err != nil {
		t.Fatal(err)
	}
	text := out.Bytes()
	return text[bytes.Index(text, []byte(`"checkpoint":`))+13 : bytes.Index(text, []byte(`,"entries"`))]
}

func TestWhatIsNoBundleIsUnreadable(t *testing.T) {
	h := newHistory(t, 9)
	b := h.bundle(4)
	texts := map[string]string{"empty": "", "text": "hello", "a BOM": "\ufeff" + b, "two bundles": b + b, "cut": b[:len(b)-3], "Latin-1": strings.Replace(b, "orders", "\xfc", 1), "not JSON": strings.Replace(b, `"index":4`, `"index":04`, 1)}
	for i := 1; i < len(b)-2; i += 11 {
		texts[fmt.Sprint("cut at ", i)] = b[:i]
	}
	for name, text := range texts {
		_, err := verify(text, ledgertest.Trusting(t, h.key))
		var e *evidence.UnreadableError
		if !errors.As(err, &e) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := evidence.Verify(io.MultiReader(strings.NewReader(b[:100]), brokenReader{}), ledgertest.Trusting(t, h.key), nil); !errors.Is(err, errBroken) {
		t.Errorf("a broken disk: %v", err)
	}
	for _, other := range []string{"null", "[]", "7", `"x"`, "{}", `{"items":[]}`} {
		_, err := verify(other, ledgertest.Trusting(t, h.key))
		var e *evidence.NotProvenError
		if !errors.As(err, &e) || e.Faults[0].Kind != evidence.Malformed {
			t.Errorf("%s: %v", other, err)
		}
	}
}

// Whoever copies a bundle knows by io.EOF that it was whole: wherever it is cut, that does not come.
func TestACutBundleHasNoEnd(t *testing.T) {
	b := newHistory(t, 9).bundle(4, 5)
	end := func(text string) error {
		r := evidence.NewBundleReader(strings.NewReader(text))
		_, err := r.Header()
		for err == nil {
			_, err = r.Next()
		}
		return err
	}
	if err := end(b); !errors.Is(err, io.EOF) {
		t.Fatal(err)
	}
	for at := range len(b) - len("\n") {
		if err := end(b[:at]); errors.Is(err, io.EOF) || !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Fatalf("cut at %d: %v", at, err)
		}
	}
}

var errBroken = errors.New("input/output error")

type brokenReader struct{}

func (brokenReader) Read([]byte) (int, error) { return 0, errBroken }

// All entries are looked at, and each that does not fit is named.
func TestEachBadEntryIsNamed(t *testing.T) {
	h := newHistory(t, 40)
	h.events[7].Version++
	h.events[31].Type += "!"
	var all []int
	for i := range 40 {
		all = append(all, i)
	}
	var bad []int64
	report, err := evidence.Verify(strings.NewReader(h.bundle(all...)), ledgertest.Trusting(t, h.key), func(e evidence.Entry) {
		if e.Fault != nil {
			bad = append(bad, e.Index)
		}
	})
	var e *evidence.NotProvenError
	if !errors.As(err, &e) || e.Count != 2 || e.Faults[1].ID != h.events[31].ID.String() || report.Proven != 38 || len(bad) != 2 || bad[0] != 7 {
		t.Errorf("%+v, %v, %v", report, bad, err)
	}
}

// Whatever byte is changed: a bundle that still verifies shows the same as before.
func TestMutatedBundlesNeverVerifyAsAnother(t *testing.T) {
	h := newHistory(t, 60)
	keys := ledgertest.Trusting(t, h.key)
	rapid.Check(t, func(rt *rapid.T) {
		i := rapid.IntRange(0, 59).Draw(rt, "entry")
		b := []byte(h.bundle(i))
		at := rapid.IntRange(0, len(b)-1).Draw(rt, "at")
		b[at] ^= byte(rapid.IntRange(1, 255).Draw(rt, "bits"))
		if _, err := verify(string(b), keys); err == nil && !slices.Equal(meaning(rt, b), meaning(rt, []byte(h.bundle(i)))) {
			rt.Fatalf("verified %s", b)
		}
	})
}

// meaning is what evidence shows, by another reader than the verifier's: the entries in canonical form, and where
// each stands. text MUST have been verified.
func meaning(t rapid.TB, text []byte) []string {
	t.Helper()
	if p, err := evidence.ParseTextProof(text); err == nil {
		return []string{string(p.Extra), fmt.Sprint(p.Index)}
	}
	var bundle struct {
		Log     string
		Entries []struct {
			Event json.RawMessage
			Index int64
		}
	}
	if err := json.Unmarshal(text, &bundle); err != nil {
		t.Fatal(err)
	}
	shown := []string{bundle.Log}
	for _, e := range bundle.Entries {
		out, err := event.Canonicalize(nil, e.Event)
		if err != nil {
			t.Fatal(err)
		}
		shown = append(shown, string(out), fmt.Sprint(e.Index))
	}
	return shown
}

func TestBundleWriterKeepsToItsLog(t *testing.T) {
	h := newAccessHistory(t, 2)
	w, err := evidence.NewBundleWriter(io.Discard, ledger.Access, h.signed)
	if err != nil {
		t.Fatal(err)
	}
	if w.Event(&event.Stored{}, nil) == nil {
		t.Error("wrote an event into the log of accesses")
	}
	if _, err := evidence.NewBundleWriter(brokenWriter{}, ledger.Access, h.signed); !errors.Is(err, errBroken) {
		t.Error(err)
	}
}

type brokenWriter struct{}

func (brokenWriter) Write([]byte) (int, error) { return 0, errBroken }

func FuzzVerify(f *testing.F) {
	h, access := newHistory(f, 60), newAccessHistory(f, 60)
	f.Add([]byte(h.bundle(4)))
	f.Add([]byte(h.bundle(4, 7)))
	f.Add([]byte(access.bundle(59)))
	f.Add([]byte(h.textProof(17)))
	f.Add([]byte(h.export(4, 7)))
	f.Add(h.signed)
	for _, value := range noObjects() {
		f.Add([]byte(h.showing(value)))
		f.Add([]byte(access.showing(value)))
	}
	keys := ledgertest.Trusting(f, h.key)
	f.Fuzz(func(t *testing.T, text []byte) {
		told := int64(0)
		report, err := evidence.Verify(bytes.NewReader(text), keys, func(evidence.Entry) { told++ })
		var notProven *evidence.NotProvenError
		var unreadable *evidence.UnreadableError
		switch {
		case err == nil:
			export := report.Form == evidence.FormExport && report.Proven == 0 // whose trailer anybody can make
			if !export && (report.Proven != report.Entries || report.Checkpoint.Size != 60) {
				t.Errorf("%+v", report)
			}
		case errors.As(err, &notProven) && len(notProven.Faults) > 0, errors.As(err, &unreadable):
			_ = err.Error()
		default:
			t.Errorf("another error: %v", err)
		}
		if told != report.Entries && err == nil {
			t.Errorf("told of %d of %d", told, report.Entries)
		}
	})
}
