package evidence_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"runtime"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"audittrail/modules/event"
	"audittrail/modules/evidence"
	"audittrail/modules/ledger"
	"audittrail/modules/ledger/ledgertest"
)

// export is an export of some events, by the history's checkpoint.
func (h *history) export(indexes ...int) string {
	h.t.Helper()
	return h.exportBy(string(h.signed), indexes...)
}

func (h *history) exportBy(signed string, indexes ...int) string {
	h.t.Helper()
	var out bytes.Buffer
	w := evidence.NewExportWriter(&out, signed, nil)
	for _, i := range indexes {
		if err := w.Events(h.events[i : i+1]); err != nil {
			h.t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		h.t.Fatal(err)
	}
	return out.String()
}

// resummed is an export whose trailer fits its lines, whatever they are: what a forger makes.
func resummed(lines, signed string) string {
	t := evidence.Trailer{Count: int64(strings.Count(lines, "\n")), Sum: sha256.Sum256([]byte(lines)), Checkpoint: signed}
	out, err := t.Append([]byte(lines))
	if err != nil {
		panic(err)
	}
	return string(out)
}

func TestExportsVerify(t *testing.T) {
	h := newHistory(t, 60)
	keys := ledgertest.Trusting(t, h.key)
	for name, c := range map[string]struct {
		text    string
		entries int64
		size    int64
	}{
		"all":            {h.export(5, 4, 59, 0), 4, 60},
		"no event":       {h.export(), 0, 60},
		"nothing signed": {h.exportBy("", 5, 4), 2, 0},
	} {
		var told int64
		report, err := evidence.Verify(iotestOneByte{strings.NewReader(c.text)}, keys, func(e evidence.Entry) {
			if told++; e.Number != told || e.Fault != nil || e.ID != h.events[e.Index].ID.String() {
				t.Errorf("told of %+v", e)
			}
		})
		if err != nil || told != c.entries || report.Entries != c.entries || report.Proven != 0 || report.Checkpoint.Size != c.size ||
			report.Form != evidence.FormExport || report.Log != ledger.Events || !report.Distinct {
			t.Errorf("%s: %+v, %v", name, report, err)
		}
	}
	// The trailer to the byte.
	text := h.exportBy("n\n— \"", 7)
	line := string(h.events[7].AppendJSON(nil)) + "\n"
	sum := sha256.Sum256([]byte(line))
	if want := line + `{"complete":true,"count":1,"sha256":"` + hex.EncodeToString(sum[:]) + `","checkpoint":"n\n— \""}` + "\n"; text != want {
		t.Errorf("got %s", text)
	}
}

// What becomes of an export that somebody changed, with and without making its trailer fit.
func TestChangedExportsDoNotVerify(t *testing.T) {
	h := newHistory(t, 60)
	x, note := h.export(4, 5, 6), string(h.signed)
	lines := strings.SplitAfter(x, "\n")
	first, trailer := lines[0], lines[3]
	other := newHistory(t, 5)
	sum := trailer[strings.Index(trailer, `"sha256":"`)+10:][:64]
	for _, c := range []struct {
		name, text string
		kinds      []evidence.FaultKind
	}{
		{"no trailer", strings.Join(lines[:3], ""), []evidence.FaultKind{evidence.Incomplete}},
		{"cut in a line", x[:len(first)+20], []evidence.FaultKind{evidence.Incomplete}},
		{"cut in the trailer", x[:len(x)-9], []evidence.FaultKind{evidence.Incomplete}},
		{"without its last line feed", x[:len(x)-1], []evidence.FaultKind{evidence.Incomplete}},
		{"a line less", lines[0] + lines[2] + trailer, []evidence.FaultKind{evidence.WrongCount, evidence.WrongHash}},
		{"a line more", first + h.export(9, 5, 6)[:0] + lines[1] + lines[2] + string(h.events[9].AppendJSON(nil)) + "\n" + trailer, []evidence.FaultKind{evidence.WrongCount, evidence.WrongHash}},
		{"lines swapped", lines[1] + lines[0] + lines[2] + trailer, []evidence.FaultKind{evidence.WrongHash}},
		{"a line twice", lines[0] + lines[0] + lines[2] + trailer, []evidence.FaultKind{evidence.Repeated, evidence.WrongHash}},
		{"an event", strings.Replace(x, `"version":`, `"version":1`, 1), []evidence.FaultKind{evidence.WrongHash}},
		{"white space", strings.Replace(x, `,"version":`, `, "version":`, 1), []evidence.FaultKind{evidence.WrongHash}},
		{"line ends", strings.ReplaceAll(strings.Join(lines[:3], ""), "\n", "\r\n") + trailer, []evidence.FaultKind{evidence.WrongHash}},
		{"the hash", strings.Replace(x, sum, strings.Repeat("0", 64), 1), []evidence.FaultKind{evidence.WrongHash}},
		{"the hash in capitals", strings.Replace(x, sum, strings.ToUpper(sum), 1), []evidence.FaultKind{evidence.Malformed}},
		{"the hash cut", strings.Replace(x, sum, sum[2:], 1), []evidence.FaultKind{evidence.Malformed}},
		{"the count", strings.Replace(x, `"count":3`, `"count":4`, 1), []evidence.FaultKind{evidence.WrongCount}},
		{"the count spelled otherwise", strings.Replace(x, `"count":3`, `"count":3.0`, 1), []evidence.FaultKind{evidence.Malformed}},
		{"not complete", strings.Replace(x, `"complete":true`, `"complete":false`, 1), []evidence.FaultKind{evidence.Malformed}},
		{"a member more", strings.Replace(x, `"count":3`, `"count":3,"x":1`, 1), []evidence.FaultKind{evidence.Malformed}},
		{"a member twice", strings.Replace(x, `"count":3`, `"count":3,"count":3`, 1), []evidence.FaultKind{evidence.Malformed}},
		{"no checkpoint", strings.Replace(x, trailer[strings.Index(trailer, `,"checkpoint"`):], "}\n", 1), []evidence.FaultKind{evidence.Malformed}},
		{"a checkpoint spelled otherwise", strings.Replace(x, `— audit`, `\u2014 audit`, 1), []evidence.FaultKind{evidence.Malformed}},
		{"something behind", x + first, []evidence.FaultKind{evidence.Malformed}},
		{"an empty line behind", x + "\n", []evidence.FaultKind{evidence.Malformed}},
		{"two exports", x + x, []evidence.FaultKind{evidence.Malformed}},
		{"the checkpoint", strings.Replace(x, `events\n60\n`, `events\n61\n`, 1), []evidence.FaultKind{evidence.BadSignature}},
		{"the checkpoint's end", strings.Replace(x, `\n"}`, `"}`, 1), []evidence.FaultKind{evidence.Malformed}},
		// With a trailer that fits: what it does not say of itself is still seen.
		{"a number for an event", resummed(first+"7\n", note), []evidence.FaultKind{evidence.BadEntry}},
		{"another object", resummed(first+"{}\n", note), []evidence.FaultKind{evidence.BadEntry}},
		{"an event twice", resummed(first+first, note), []evidence.FaultKind{evidence.Repeated}},
		{"no time", resummed(strings.Replace(first, `"recordedAt"`, `"recorded"`, 1), note), []evidence.FaultKind{evidence.BadEntry}},
		{"later than the checkpoint", resummed(strings.Join(lines[:3], ""), string(other.signed)), []evidence.FaultKind{evidence.WrongIndex}},
		{"at the checkpoint's end", resummed(strings.Join(lines[:3], ""), string(ledgertest.Sign(t, ledger.Events, 6, h.tree.Root(6), h.key))), []evidence.FaultKind{evidence.WrongIndex}},
		{"the other log's checkpoint", resummed(first, string(newAccessHistory(t, 60).signed)), []evidence.FaultKind{evidence.WrongLog}},
		{"a stranger's checkpoint", resummed(first, string(ledgertest.Sign(t, ledger.Events, 60, h.tree.Root(60), ledgertest.Key(t, 2)))), []evidence.FaultKind{evidence.UnknownKey}},
	} {
		t.Run(c.name, func(t *testing.T) {
			if c.text == x {
				t.Fatal("nothing was changed")
			}
			_, err := verify(c.text, ledgertest.Trusting(t, h.key))
			var e *evidence.NotProvenError
			if !errors.As(err, &e) || int(e.Count) != len(c.kinds) {
				t.Fatalf("got %v", err)
			}
			for i, kind := range c.kinds {
				if e.Faults[i].Kind != kind {
					t.Errorf("got %s: %v", e.Faults[i].Kind, e.Faults[i])
				}
			}
			if e.Faults[0].Kind == evidence.WrongIndex && e.Faults[0].ID != h.events[6].ID.String() {
				t.Errorf("it names %v", e.Faults[0])
			}
		})
	}
}

func TestWhatIsNoExportIsUnreadable(t *testing.T) {
	h := newHistory(t, 9)
	x := h.export(4, 5)
	for name, text := range map[string]string{
		"an empty line":      strings.Replace(x, "\n", "\n\n", 1),
		"not JSON":           strings.Replace(x, `"version":`, `"version":0`, 1),
		"Latin-1":            strings.Replace(x, "orders", "\xfc", 1),
		"two on a line":      strings.Replace(x, "\n", "", 1),
		"a trailer, no JSON": strings.Replace(x, `true`, `trux`, 1),
	} {
		_, err := verify(text, ledgertest.Trusting(t, h.key))
		var e *evidence.UnreadableError
		if !errors.As(err, &e) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := evidence.Verify(io.MultiReader(strings.NewReader(x[:100]), brokenReader{}), ledgertest.Trusting(t, h.key), nil); !errors.Is(err, errBroken) {
		t.Errorf("a broken disk: %v", err)
	}
	if _, err := evidence.Verify(io.MultiReader(strings.NewReader(x), brokenReader{}), ledgertest.Trusting(t, h.key), nil); !errors.Is(err, errBroken) {
		t.Errorf("a broken disk behind the trailer: %v", err)
	}
}

// Each byte of an export counts, those of its trailer too.
func TestMutatedExportsNeverVerify(t *testing.T) {
	h := newHistory(t, 60)
	keys := ledgertest.Trusting(t, h.key)
	rapid.Check(t, func(rt *rapid.T) {
		x := []byte(h.export(rapid.IntRange(0, 59).Draw(rt, "entry")))
		at := rapid.IntRange(0, len(x)-1).Draw(rt, "at")
		x[at] ^= byte(rapid.IntRange(1, 255).Draw(rt, "bits"))
		if _, err := verify(string(x), keys); err == nil {
			rt.Fatalf("verified %s", x)
		}
	})
}

// A file of any length takes bounded memory, and so does a line that never ends.
func TestALargeExportTakesLittleMemory(t *testing.T) {
	const events, size, bound = 30_000, 8 << 10, 48 << 20
	s := ledgertest.StoredEvents(t, 1)[0]
	s.Payload = fmt.Appendf(nil, "%q", strings.Repeat("x", size))
	r, w := io.Pipe()
	go func() {
		x := evidence.NewExportWriter(w, "", nil)
		for i := range int64(events) {
			s.Position = i
			if x.Events([]event.Stored{s}) != nil {
				return
			}
		}
		_ = w.CloseWithError(x.Close())
	}()
	runtime.GC()
	var before, now runtime.MemStats
	runtime.ReadMemStats(&before)
	peak := uint64(0)
	report, err := evidence.Verify(r, ledgertest.Trusting(t, ledgertest.Key(t, 1)), func(e evidence.Entry) {
		if e.Number%1000 == 0 {
			runtime.ReadMemStats(&now)
			peak = max(peak, now.HeapAlloc)
		}
	})
	if grown := int64(peak) - int64(before.HeapAlloc); err != nil || report.Entries != events || grown > bound || bound > events*size {
		t.Errorf("grew by %d MiB; %+v, %v", grown>>20, report, err)
	}

	endless := io.MultiReader(strings.NewReader(`{"eventId":"`), endlessReader{})
	_, err = evidence.Verify(endless, ledgertest.Trusting(t, ledgertest.Key(t, 1)), nil)
	var fault *evidence.Fault
	if !errors.As(err, &fault) || fault.Kind != evidence.Malformed {
		t.Errorf("a line without end: %v", err)
	}
}

type endlessReader struct{}

func (endlessReader) Read(b []byte) (int, error) {
	for i := range b {
		b[i] = 'x'
	}
	return len(b), nil
}

func TestExportWriterTellsItsWritersErrors(t *testing.T) {
	x := evidence.NewExportWriter(brokenWriter{}, "", nil)
	if err := x.Events(ledgertest.StoredEvents(t, 1)); !errors.Is(err, errBroken) {
		t.Error(err)
	}
	if err := x.Close(); !errors.Is(err, errBroken) {
		t.Error(err)
	}
	if err := evidence.NewExportWriter(io.Discard, "\xff", nil).Close(); err == nil {
		t.Error("wrote a trailer that is no JSON")
	}
}
