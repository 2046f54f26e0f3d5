package evidence_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"audittrail/modules/event"
	"audittrail/modules/evidence"
	"audittrail/modules/ledger/ledgertest"
)

// csvOf is an export of events that have these payloads.
func csvOf(t testing.TB, signed string, columns []string, payloads ...string) string {
	t.Helper()
	var out bytes.Buffer
	w, err := evidence.NewCSVWriter(&out, signed, columns, true)
	if err != nil {
		t.Fatal(err)
	}
	s := ledgertest.StoredEvents(t, 1)[0]
	for i, payload := range payloads {
		if s.Payload, err = event.Canonicalize(nil, []byte(payload)); err != nil {
			t.Fatal(err)
		}
		s.Position = int64(i)
		if err := w.Events([]event.Stored{s}); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return out.String()
}

// cellCases are JSON values, and the cells that stand for them.
var cellCases = []struct{ value, bytes, read string }{
	{`"plain"`, `plain`, "plain"},
	{`""`, `""`, ""},
	{`null`, `""`, ""},
	{`"a,b"`, `"a,b"`, "a,b"},
	{`"say \"hi\""`, `"say ""hi"""`, `say "hi"`},
	{`"\""`, `""""`, `"`},
	{`"1\n2"`, "\"1\n2\"", "1\n2"},
	{`"1\r\n2\r3\n\r"`, "\"1\r\n2\r3\n\r\"", "1\r\n2\r3\n\r"},
	{`" spaces "`, " spaces ", " spaces "},
	{`"=1+1"`, `'=1+1`, "'=1+1"},
	{`"+1"`, `'+1`, "'+1"},
	{`"-1"`, `'-1`, "'-1"},
	{`"@SUM(A1)"`, `'@SUM(A1)`, "'@SUM(A1)"},
	{`"=HYPERLINK(\"http://x\",\"y\")"`, `"'=HYPERLINK(""http://x"",""y"")"`, `'=HYPERLINK("http://x","y")`},
	{`"\t=1"`, "'\t=1", "'\t=1"},
	{`"\r=1"`, "\"'\r=1\"", "'\r=1"},
	{`"1=1"`, `1=1`, "1=1"},
	{`"# {\"complete\":true}"`, `"'# {""complete"":true}"`, `'# {"complete":true}`},
	{`"# one"`, `# one`, "# one"},
	{`-1`, `-1`, "-1"},
	{`99.90`, `99.9`, "99.9"},
	{`9223372036854775808`, `9223372036854775808`, "9223372036854775808"},
	{`1e400`, `1e+400`, "1e+400"},
	{`true`, `true`, "true"},
	{`{}`, `{}`, "{}"},
	{`[1,"a"]`, `"[1,""a""]"`, `[1,"a"]`},
	{`{"b":{"c":"=1\n"}}`, `"{""b"":{""c"":""=1\n""}}"`, `{"b":{"c":"=1\n"}}`},
	{`"äöü 東京 😀"`, "äöü 東京 😀", "äöü 東京 😀"},
}

func TestCSVCells(t *testing.T) {
	for _, c := range cellCases {
		out := csvOf(t, "", []string{"payload.v"}, `{"v":`+c.value+`}`)
		row, found := strings.CutPrefix(out, "payload.v\r\n")
		if !found || !strings.HasPrefix(row, c.bytes+"\r\n\"# {\"\"complete\"\":true,\"\"count\"\":1,") {
			t.Errorf("%s: got %q", c.value, out)
		}
	}
}

func TestCSVColumns(t *testing.T) {
	for _, c := range []struct{ columns, payload, want string }{
		{"version,payload.a.b,payload.a,payload.none,payload.a.b.c,position", `{"a":{"b":[1]},"b":2}`, `1,[1],"{""b"":[1]}",,,0`},
		{"payload,payload.a", `"text"`, `text,`},
		{"payload", `[]`, `[]`},
		{"payload.none", `{}`, `""`},
		{"payload.none,payload.no", `{}`, `,`},
		{`payload.a"b,payload.ä`, `{"a\"b":1,"ä":2}`, `1,2`},
	} {
		columns := strings.Split(c.columns, ",")
		header := strings.ReplaceAll(c.columns, `payload.a"b`, `"payload.a""b"`)
		got := csvOf(t, "", columns, c.payload)
		if want := header + "\r\n" + c.want + "\r\n\"# "; !strings.HasPrefix(got, want) {
			t.Errorf("%s: got %q, want %q", c.columns, got, want)
		}
	}
	got := csvOf(t, "n\n", evidence.DefaultColumns(), `{"a":1}`)
	if !strings.HasPrefix(got, "eventId,eventType,aggregateId,aggregateType,timestamp,version,payload,metadata,position,recordedAt,kafka\r\n") {
		t.Errorf("got %s", got)
	}
}

// An export as CSV is complete, or it is told what is wrong with it.
func TestCSVVerifies(t *testing.T) {
	h := newHistory(t, 3)
	keys := ledgertest.Trusting(t, h.key)
	whole := csvOf(t, string(h.signed), []string{"eventId", "payload.v"}, `{"v":"a\nb"}`, `{"v":"\"\r\n"}`, `{"v":"# {\"complete\":1}"}`)
	report, err := verify(whole, keys)
	if err != nil || report.Form != evidence.FormCSV || report.Entries != 3 || report.Proven != 0 || report.Checkpoint.Size != 3 {
		t.Fatalf("%+v, %v", report, err)
	}
	rows := strings.SplitAfter(whole, "\r\n")
	trailer := rows[len(rows)-2]
	for name, c := range map[string]struct {
		text string
		kind evidence.FaultKind
	}{
		"no trailer":        {strings.TrimSuffix(whole, trailer), evidence.Incomplete},
		"cut in a text":     {whole[:strings.Index(whole, "a\nb")+2], evidence.Incomplete},
		"cut in the header": {whole[:10], evidence.Incomplete},
		"cut in the end":    {whole[:len(whole)-1], evidence.Incomplete},
		"changed":           {strings.Replace(whole, "a\nb", "a\nc", 1), evidence.WrongHash},
		"changed header":    {strings.Replace(whole, "payload", "payl0ad", 1), evidence.WrongHash},
		"other line ends":   {strings.Replace(whole, "\r\n", "\n", 1), evidence.WrongHash},
		"a count":           {strings.Replace(whole, `""count"":3`, `""count"":4`, 1), evidence.WrongCount},
		"something behind":  {whole + "x", evidence.Malformed},
		"another spelling":  {strings.Replace(whole, `""count"":`, `""count"": `, 1), evidence.Malformed},
		"a stranger's key": {csvOf(t, string(ledgertest.Sign(t, "events", 60, h.tree.Root(3), ledgertest.Key(t, 2))), []string{"eventId"}, `{}`),
			evidence.UnknownKey},
	} {
		_, err := verify(c.text, keys)
		var e *evidence.NotProvenError
		if !errors.As(err, &e) || e.Faults[0].Kind != c.kind {
			t.Errorf("%s: %v", name, err)
		}
	}
	rapid.Check(t, func(rt *rapid.T) {
		x := []byte(whole)
		at := rapid.IntRange(0, len(x)-1).Draw(rt, "at")
		x[at] ^= byte(rapid.IntRange(1, 255).Draw(rt, "bits"))
		if _, err := verify(string(x), keys); err == nil {
			rt.Fatalf("verified %s", x)
		}
	})
}

func TestCSVWriterTellsItsWritersErrors(t *testing.T) {
	if _, err := evidence.NewCSVWriter(brokenWriter{}, "", []string{"eventId"}, true); !errors.Is(err, errBroken) {
		t.Error(err)
	}
	if _, err := evidence.NewCSVWriter(io.Discard, "", []string{"payload.\xff"}, true); err == nil {
		t.Error("took a column that is no text")
	}
}

// pythonCSV runs a program of Python with the export's file as its argument, and answers the JSON that it prints.
func pythonCSV(t *testing.T, export, program string, into any) {
	t.Helper()
	path := os.Getenv("TEST_PYTHON") // one that has pandas
	if path == "" {
		path = "python3"
	}
	file := filepath.Join(t.TempDir(), "events.csv")
	if err := os.WriteFile(file, []byte(export), 0o600); err != nil {
		t.Fatal(err)
	}
	out, err := exec.CommandContext(t.Context(), path, "-c", program, file).CombinedOutput()
	if isMissing := errors.Is(err, exec.ErrNotFound) || bytes.Contains(out, []byte("No module named")); isMissing && os.Getenv("CI") == "" {
		t.Skipf("%s or its module is missing: %s", path, out)
	}
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	if err := json.Unmarshal(out, into); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
}

func cellExport(t *testing.T) (export string, read []string) {
	t.Helper()
	payloads := []string{}
	for _, c := range cellCases {
		if c.read != "" {
			payloads, read = append(payloads, fmt.Sprintf(`{"v":%s,"n":%d}`, c.value, len(payloads))), append(read, c.read)
		}
	}
	return csvOf(t, "", []string{"position", "payload.v", "payload.n", "timestamp"}, payloads...), read
}

func TestPythonReadsCSV(t *testing.T) {
	export, want := cellExport(t)
	var rows [][]string
	pythonCSV(t, export, `
import csv, json, sys
print(json.dumps(list(csv.reader(open(sys.argv[1], newline="", encoding="utf-8"), strict=True))))`, &rows)
	if !slices.Equal(rows[0], []string{"position", "payload.v", "payload.n", "timestamp"}) || len(rows) != len(want)+2 {
		t.Fatalf("got %q", rows)
	}
	for i, cell := range want {
		if row := rows[i+1]; len(row) != 4 || row[1] != cell || row[0] != fmt.Sprint(i) {
			t.Errorf("got %q, want %q", row, cell)
		}
	}
	last := rows[len(rows)-1]
	trailer, found := strings.CutPrefix(last[0], "# ")
	if len(last) != 1 || !found || !json.Valid([]byte(trailer)) {
		t.Errorf("got %q", last)
	}
}

func TestPandasReadsCSV(t *testing.T) {
	export, want := cellExport(t)
	var got struct {
		Columns, Cells []string
		Numbers        []int
		Kind           string
	}
	pythonCSV(t, export, `
import json, sys, pandas
table = pandas.read_csv(sys.argv[1], skipfooter=1, engine="python", keep_default_na=False)
print(json.dumps({"columns": list(table.columns), "cells": list(table["payload.v"]), "numbers": [int(n) for n in table["payload.n"]],
    "kind": str(table["payload.n"].dtype)}))`, &got)
	numbers := []int{}
	for i := range want {
		numbers = append(numbers, i)
	}
	if !slices.Equal(got.Columns, []string{"position", "payload.v", "payload.n", "timestamp"}) || !slices.Equal(got.Cells, want) ||
		!reflect.DeepEqual(got.Numbers, numbers) || got.Kind != "int64" {
		t.Errorf("got %+v\nwant %q", got, want)
	}
}
