package cmd

import (
	"fmt"
	"io"
	"strings"

	"audittrail/modules/ledger"
)

// filesReport tells what became of files, one after the other; end comes once.
type filesReport interface {
	file(v *verdict) error
	end(proven bool) error
}

func newFilesReport(output string, w io.Writer) filesReport {
	if output == "json" {
		return &filesJSON{w: w, Files: []fileJSON{}}
	}
	return filesText{w}
}

// filesText tells it to people who know nothing of trees and hashes.
type filesText struct{ w io.Writer }

func (t filesText) file(v *verdict) error {
	var b strings.Builder
	name := visible(v.name)
	switch {
	case v.err != nil:
		fmt.Fprintf(&b, "%s: CAN'T BE READ\n  %s\n", name, visible(v.err.Error()))
	case v.count > 0:
		tellFaults(&b, name, v)
	case v.report.Entries == 0:
		fmt.Fprintf(&b, "%s: proven, but it holds no %s\n", name, nouns(v.report.Log, 0))
		tellCheckpoint(&b, v.report)
	default:
		r := v.report
		fmt.Fprintf(&b, "%s: proven\n  %s %s exactly as the log recorded: nothing was altered, and each stands at the position that it shows.\n"+
			"  It can't be seen from the file whether others were left out of it.\n",
			name, grouped(r.Entries), areNouns(r.Log, r.Entries))
		tellCheckpoint(&b, r)
	}
	if v.err == nil && !v.report.Distinct && v.count == 0 {
		fmt.Fprintf(&b, "  The file is so large that it could not be checked whether an entry stands in it twice.\n")
	}
	_, err := io.WriteString(t.w, b.String())
	return err
}

func (filesText) end(bool) error { return nil }

// tellFaults names what does not hold.
func tellFaults(b *strings.Builder, name string, v *verdict) {
	r := v.report
	fmt.Fprintf(b, "%s: NOT PROVEN\n", name)
	if r.Checkpoint.Origin != "" && r.Entries > 0 {
		fmt.Fprintf(b, "  %s of %s %s could be proven.\n", grouped(r.Proven), grouped(r.Entries), nouns(r.Log, r.Entries))
	}
	for _, f := range v.faults {
		fmt.Fprintf(b, "  - %s\n", visible(f.Error()))
	}
	if more := v.count - int64(len(v.faults)); more > 0 {
		fmt.Fprintf(b, "  and %s more\n", grouped(more))
	}
	if r.Checkpoint.Origin != "" {
		tellCheckpoint(b, r)
		return
	}
	b.WriteString("  Without a genuine checkpoint nothing that the file shows can be relied on.\n")
}

// tellCheckpoint says against what was checked.
func tellCheckpoint(b *strings.Builder, r ledger.Report) {
	c := r.Checkpoint
	fmt.Fprintf(b, "  Checked against the checkpoint of %s, which speaks for its first %s entries.\n", visible(c.Origin), grouped(c.Size))
	fmt.Fprintf(b, "  Its signature is genuine, by the key %s.\n", visible(strings.Join(c.Keys, " and ")))
}

func nouns(log ledger.Log, n int64) string {
	noun := "event"
	if log == ledger.Access {
		noun = "access entr"
		if n == 1 {
			return noun + "y"
		}
		return noun + "ies"
	}
	if n == 1 {
		return noun
	}
	return noun + "s"
}

func areNouns(log ledger.Log, n int64) string {
	if n == 1 {
		return nouns(log, n) + " is"
	}
	return nouns(log, n) + " are"
}

// filesJSON tells it to programs, as one document.
type filesJSON struct {
	w      io.Writer
	Proven bool       `json:"proven"`
	Files  []fileJSON `json:"files"`
}

// fileJSON is one file of the report.
type fileJSON struct {
	File       string          `json:"file"`
	Status     string          `json:"status"` // proven, not_proven or unreadable
	Error      string          `json:"error,omitzero"`
	Log        ledger.Log      `json:"log,omitzero"`
	Checkpoint *checkpointJSON `json:"checkpoint,omitzero"`
	Entries    int64           `json:"entries"`
	Proven     int64           `json:"proven"`
	Distinct   bool            `json:"distinct"` // no entry stands in it twice
	FaultCount int64           `json:"faultCount"`
	Faults     []faultJSON     `json:"faults"` // the first hundred
}

type checkpointJSON struct {
	Origin   string   `json:"origin"`
	Size     int64    `json:"size"`
	Root     string   `json:"root"`
	SignedBy []string `json:"signedBy"`
}

type faultJSON struct {
	Kind    ledger.FaultKind `json:"kind"`
	Entry   int64            `json:"entry,omitzero"`   // which of the file, from 1; missing for the whole
	Index   *int64           `json:"index,omitzero"`   // its position in the log, as the file has it
	EventID string           `json:"eventId,omitzero"` // as far as it could be read
	Detail  string           `json:"detail"`
}

func (j *filesJSON) file(v *verdict) error {
	r := v.report
	f := fileJSON{
		File: v.name, Status: "proven", Log: r.Log, Entries: r.Entries, Proven: r.Proven, Distinct: r.Distinct,
		FaultCount: v.count, Faults: []faultJSON{},
	}
	switch {
	case v.err != nil:
		f.Status, f.Error = "unreadable", v.err.Error()
	case v.count > 0:
		f.Status = "not_proven"
	}
	if c := r.Checkpoint; c.Origin != "" {
		f.Checkpoint = &checkpointJSON{c.Origin, c.Size, c.Root.String(), c.Keys}
	}
	for _, fault := range v.faults {
		shown := faultJSON{Kind: fault.Kind, Entry: fault.Entry, EventID: fault.ID, Detail: fault.Detail}
		if fault.Entry > 0 && fault.Index >= 0 {
			shown.Index = &fault.Index
		}
		f.Faults = append(f.Faults, shown)
	}
	j.Files = append(j.Files, f)
	return nil
}

func (j *filesJSON) end(proven bool) error {
	j.Proven = proven
	return printJSON(j.w, j)
}
