package cmd

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"audittrail/modules/ledger"
	"audittrail/modules/verify"
	"audittrail/platform/console"
)

// printVerification prints a report for people who know nothing of trees and hashes.
func printVerification(w io.Writer, r *verify.Report, memory string) error {
	var b strings.Builder
	if !r.Complete {
		b.WriteString("NOT FINISHED: the verification ended early. This report says nothing of what was not read.\n\n")
	}
	switch size, signed := r.Totals(); {
	case r.Intact && size == 0:
		b.WriteString("EMPTY: the event store has no entry, and nothing that was compared shows that it ever had one. " +
			"To be sure, give the notary's state file or a checkpoint that was kept elsewhere.\n\n")
	case r.Intact && signed < size:
		fmt.Fprintf(&b, "INTACT as far as it is signed: no event was altered, removed, inserted or moved. "+
			"Nothing is proven of the last %s entries, which no signature covers.\n\n", console.Grouped(size-signed))
	case r.Intact:
		b.WriteString("INTACT: no event was altered, removed, inserted or moved.\n\n")
	case r.Total > 0:
		fmt.Fprintf(&b, "TAMPERING FOUND: %s.\n\n", findingCounts(r))
		tellFindings(&b, r)
		b.WriteByte('\n')
	case !r.Complete:
		b.WriteString("Nothing was found until then.\n\n")
	default:
		b.WriteString("NOT SIGNED YET: nothing was found, and nothing is proven, since no entry is signed. " +
			"A notary signs within seconds: verify again.\n\n")
	}
	every := "every row was read, and its fingerprint"
	if !r.Complete || r.Counts[verify.SchemaAltered]+r.Counts[verify.EventUnreadable] > 0 {
		every = "so many rows were read, and their fingerprints"
	}
	fmt.Fprintf(&b, "%s %s: %s computed again, in %s.\n", console.Grouped(r.Events), nouns(ledger.Events, r.Events), every,
		time.Duration(r.Seconds*float64(time.Second)).Round(10*time.Millisecond))
	if _, signed := r.Totals(); r.Origin != "" && (r.Intact || signed > 0) {
		fmt.Fprintf(&b, "The ledger is that of %s.\n", console.Visible(r.Origin))
	}
	for _, l := range r.Logs {
		tellLog(&b, l)
	}
	if kept := slices.DeleteFunc(slices.Clone(r.Outside), func(source string) bool { return source == stateFileSource }); len(kept) > 0 {
		fmt.Fprintf(&b, "Also compared with what was kept elsewhere: %s.\n", console.Visible(strings.Join(kept, ", ")))
	}
	if memory != "" {
		b.WriteString(console.Visible(memory) + "\n")
	}
	for _, n := range r.Notices {
		fmt.Fprintf(&b, "Note%s: %s.\n", inLog(n.Log), console.Visible(n.Detail))
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// tellLog prints how far one log is proven.
func tellLog(b *strings.Builder, l verify.LogReport) {
	switch {
	case !l.Complete:
		fmt.Fprintf(b, "The %s log was not read to its end.\n", l.Log)
		return
	case l.Size == 0:
		fmt.Fprintf(b, "The %s log is empty.\n", l.Log)
		return
	case l.NotYetSigned <= 0:
		fmt.Fprintf(b, "The %s log: good signatures cover all of its %s entries", l.Log, console.Grouped(l.Size))
	case l.Signed == 0:
		fmt.Fprintf(b, "The %s log: no good signature covers any of its %s entries", l.Log, console.Grouped(l.Size))
	default:
		fmt.Fprintf(b, "The %s log: good signatures cover the first %s of its %s entries; %s are not yet signed, or not as they stand",
			l.Log, console.Grouped(l.Signed), console.Grouped(l.Size), console.Grouped(l.NotYetSigned))
	}
	fmt.Fprintf(b, " (%s checkpoints checked).\n", console.Grouped(l.Checkpoints))
	if l.UnsignedSince != "" {
		fmt.Fprintf(b, "The oldest entry of the %s log without a good signature was recorded at %s.\n", l.Log, l.UnsignedSince)
	}
}

// tellFindings prints the findings, one per line.
func tellFindings(b *strings.Builder, r *verify.Report) {
	listed := map[verify.Kind]int64{}
	for _, f := range r.Findings {
		listed[f.Kind]++
		fmt.Fprintf(b, "- %s%s: %s\n", kindWords(f.Kind), findingPlace(&f), console.Visible(f.Detail))
	}
	for _, kind := range verify.Kinds() {
		if more := r.Counts[kind] - listed[kind]; more > 0 {
			fmt.Fprintf(b, "- and %s more: %s\n", console.Grouped(more), kindWords(kind))
		}
	}
}

// kindWords returns a kind for people, as in "event altered".
func kindWords(kind verify.Kind) string { return strings.ReplaceAll(string(kind), "_", " ") }

// findingCounts sums up the findings, as in "2 × event altered, 1 × event removed".
func findingCounts(r *verify.Report) string {
	var parts []string
	for _, kind := range verify.Kinds() {
		if n := r.Counts[kind]; n > 0 {
			parts = append(parts, fmt.Sprintf("%s × %s", console.Grouped(n), kindWords(kind)))
		}
	}
	return strings.Join(parts, ", ")
}

// findingPlace returns the event and the positions of a finding.
func findingPlace(f *verify.Finding) string {
	var text string
	if f.EventID != "" {
		text = " " + f.EventID
	}
	text += inLog(f.Log)
	if f.Position != nil {
		text += fmt.Sprintf(" at position %d", *f.Position)
	}
	if f.End != nil {
		text += fmt.Sprintf(" to %d", *f.End-1)
	}
	return text
}

// inLog names the log unless it is that of events.
func inLog(log ledger.Log) string {
	if log == ledger.Access {
		return " in the access log"
	}
	return ""
}
