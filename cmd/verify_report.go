package cmd

import (
	"fmt"
	"io"
	"slices"
	"strings"

	"audittrail/modules/evidence"
	"audittrail/modules/ledger"
	"audittrail/platform/console"
)

// filesReport tells what became of files, one after the other; end comes once.
type filesReport interface {
	file(v *verdict) error
	end() error
}

func newFilesReport(output string, w io.Writer) filesReport {
	if output == "json" {
		return &filesJSON{w: w, Passed: true, Proven: true, Files: []fileJSON{}}
	}
	return filesText{w}
}

// filesText tells it to people who know nothing of trees and hashes.
type filesText struct{ w io.Writer }

func (t filesText) file(v *verdict) error {
	var b strings.Builder
	name, r := console.Visible(v.name), v.Report
	switch v.Status() {
	case evidence.StatusUnreadable:
		fmt.Fprintf(&b, "%s: CAN'T BE READ\n  %s\n", name, console.Visible(v.Err.Error()))
		if r.Checkpoint.Origin != "" {
			fmt.Fprintf(&b, "  Up to there %s of %s %s could be proven.\n", console.Grouped(r.Proven), console.Grouped(r.Entries), nouns(r.Log, r.Entries))
		}
	case evidence.StatusNotProven:
		tellFaults(&b, name, v)
	case evidence.StatusComplete:
		tellComplete(&b, name, r)
	default:
		tellProven(&b, name, r)
	}
	tellGrowth(&b, v)
	_, err := io.WriteString(t.w, b.String())
	return err
}

// tellProven says what a file proves.
func tellProven(b *strings.Builder, name string, r evidence.Report) {
	if r.Form == evidence.FormCheckpoint {
		fmt.Fprintf(b, "%s: proven\n  It is a genuine checkpoint. It shows no %s itself: it vouches for evidence that was made of the same log.\n",
			name, nouns(r.Log, 0))
	} else if r.Entries == 0 {
		fmt.Fprintf(b, "%s: proven, but it holds no %s\n", name, nouns(r.Log, 0))
	} else {
		fmt.Fprintf(b, "%s: proven\n  %s %s exactly as the log recorded: nothing was altered, and each stands at the position that it shows.\n"+
			"  It can't be seen from the file whether others were left out of it.\n",
			name, console.Grouped(r.Entries), areNouns(r.Log, r.Entries))
	}
	tellCheckpoint(b, r)
	tellRepeats(b, r)
}

// tellComplete says what an export shows, and that this is less than proof.
func tellComplete(b *strings.Builder, name string, r evidence.Report) {
	fmt.Fprintf(b, "%s: complete\n  %s %s in it: as many, and byte for byte the same, as when the file was made.\n"+
		"  This does not prove that they are genuine: whoever changes such a file can also make its last line fit.\n"+
		"  A bundle proves it ('audittrail export --format bundle').\n",
		name, console.Grouped(r.Entries), areNouns(r.Log, r.Entries))
	if c := r.Checkpoint; c.Origin != "" {
		later := ", and no event in it is later"
		if r.Form == evidence.FormCSV {
			later = ""
		}
		fmt.Fprintf(b, "  It says that it was made by the checkpoint of %s over the first %s entries%s.\n"+
			"  That checkpoint is genuine, signed by the key %s.\n", console.Visible(c.Origin), console.Grouped(c.Size), later, console.Visible(strings.Join(c.Keys, " and ")))
	} else {
		b.WriteString("  It names no checkpoint: nothing had been signed when it was made.\n")
	}
	if r.Form != evidence.FormCSV {
		tellRepeats(b, r)
	}
}

func tellRepeats(b *strings.Builder, r evidence.Report) {
	if !r.Distinct {
		b.WriteString("  The file is so large that it could not be checked whether an entry stands in it twice.\n")
	}
}

func (filesText) end() error { return nil }

// tellFaults names what does not hold.
func tellFaults(b *strings.Builder, name string, v *verdict) {
	r := v.Report
	if r.Form.IsExport() && isOfTheFile(v.Faults[0].Kind) {
		fmt.Fprintf(b, "%s: NOT COMPLETE, OR CHANGED\n", name)
	} else {
		fmt.Fprintf(b, "%s: NOT PROVEN\n", name)
		if r.Checkpoint.Origin != "" && r.Entries > 0 {
			fmt.Fprintf(b, "  %s of %s %s could be proven.\n", console.Grouped(r.Proven), console.Grouped(r.Entries), nouns(r.Log, r.Entries))
		}
	}
	for _, f := range v.Faults {
		fmt.Fprintf(b, "  - %s\n", console.Visible(f.Error()))
	}
	if more := v.Count - int64(len(v.Faults)); more > 0 {
		fmt.Fprintf(b, "  and %s more\n", console.Grouped(more))
	}
	if v.Err != nil {
		fmt.Fprintf(b, "  What follows can't be read, so there may be more: %s\n", console.Visible(v.Err.Error()))
	}
	switch {
	case r.Checkpoint.Origin != "" && !r.Form.IsExport():
		tellCheckpoint(b, r)
	case slices.ContainsFunc(v.Faults, func(f *evidence.Fault) bool { return f.Kind == evidence.UnknownKey }):
		b.WriteString("  Until that key is given, nothing that the file shows can be relied on. Get it from whoever runs the log,\n" +
			"  and not together with the file.\n")
	case !r.Form.IsExport():
		b.WriteString("  No checkpoint in it could be verified, so nothing that the file shows can be relied on.\n")
	}
}

// isOfTheFile reports whether a fault means that a file is not as it was made; others are of the checkpoint,
// or of the key that it was verified with.
func isOfTheFile(kind evidence.FaultKind) bool {
	return kind != evidence.NotConsistent && kind != evidence.UnknownKey && kind != evidence.WrongLog
}

// tellCheckpoint says against what was checked.
func tellCheckpoint(b *strings.Builder, r evidence.Report) {
	c := r.Checkpoint
	fmt.Fprintf(b, "  Checked against the checkpoint of %s, which speaks for its first %s entries.\n", console.Visible(c.Origin), console.Grouped(c.Size))
	fmt.Fprintf(b, "  Its signature is genuine, by the key %s.\n", console.Visible(strings.Join(c.Keys, " and ")))
}

// tellGrowth says what was shown of the time between two checkpoints.
func tellGrowth(b *strings.Builder, v *verdict) {
	if v.GrewFrom == nil {
		return
	}
	before, now, log := v.GrewFrom.Size, v.Report.Checkpoint.Size, v.Report.Log
	switch before {
	case now:
		b.WriteString("  The log is the same as at the earlier checkpoint, and nothing was added since.\n")
	case 0:
		fmt.Fprintf(b, "  At the earlier checkpoint the log was empty, so it shows nothing of the %s %s that came after it.\n", console.Grouped(now), nouns(log, now))
	default:
		fmt.Fprintf(b, "  Since the earlier checkpoint the log only grew: its first %s %s as they were then, and %s came after them.\n",
			console.Grouped(before), areNouns(log, before), console.Grouped(now-before))
	}
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
