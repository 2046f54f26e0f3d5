package main

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"text/tabwriter"
)

// The goals.
const (
	leastRecall    = 0.9
	leastPrecision = 0.8
	mostFalse      = 1.0 // a day and kind, where nothing was injected
)

// kindScore is how well one kind is found.
type kindScore struct {
	injected, found int // on purpose
	right, reported int // with the consequences
	falseAlarms     int // where nothing was injected
	missed          []label
	wrong, quiet    []finding
}

func (k kindScore) recall() float64    { return share(k.found, k.injected) }
func (k kindScore) precision() float64 { return share(k.right, k.reported) }

func share(part, of int) float64 {
	if of == 0 {
		return 1
	}
	return float64(part) / float64(of)
}

type scores struct {
	kinds map[string]*kindScore
	days  int
}

// score compares what was found with what was injected. What is found of undisturbed traffic is a false alarm, once; in
// the disturbed traffic it counts against the precision too.
func score(quiet, disturbed []finding, labels []label, days int) scores {
	s := scores{map[string]*kindScore{}, days}
	of := func(kind string) *kindScore {
		if s.kinds[kind] == nil {
			s.kinds[kind] = &kindScore{}
		}
		return s.kinds[kind]
	}
	for _, l := range labels {
		if l.consequence {
			continue
		}
		k := of(l.kind)
		k.injected++
		if slices.ContainsFunc(disturbed, l.fits) {
			k.found++
		} else {
			k.missed = append(k.missed, l)
		}
	}
	for _, f := range disturbed {
		k := of(f.kind)
		k.reported++
		if slices.ContainsFunc(labels, func(l label) bool { return l.fits(f) }) {
			k.right++
		} else {
			k.wrong = append(k.wrong, f)
		}
	}
	for _, f := range quiet {
		k := of(f.kind)
		k.falseAlarms++
		k.quiet = append(k.quiet, f)
	}
	return s
}

// print writes the table, and with details what was missed and what was wrong.
func (s scores) print(out io.Writer, details bool) {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	_, _ = fmt.Fprintln(w, "kind\tinjected\tfound\trecall\treported\tright\tprecision\tfalse alarms a day\t")
	kinds := slices.Sorted(maps.Keys(s.kinds))
	for _, kind := range kinds {
		k := s.kinds[kind]
		perDay := float64(k.falseAlarms) / float64(s.days)
		recall, precision, verdict := "-", "-", ""
		missed := perDay > mostFalse
		if k.injected > 0 { // else there is nothing to find
			recall, precision = fmt.Sprintf("%.2f", k.recall()), fmt.Sprintf("%.2f", k.precision())
			missed = missed || k.recall() < leastRecall || k.precision() < leastPrecision
		}
		if missed {
			verdict = "misses the goal"
		}
		_, _ = fmt.Fprintf(w, "%s\t%d\t%d\t%s\t%d\t%d\t%s\t%.2f\t%s\n", kind, k.injected, k.found, recall, k.reported, k.right, precision, perDay, verdict)
	}
	_ = w.Flush()
	_, _ = fmt.Fprintf(out, "\ngoals: recall %v, precision %v, at most %v false alarm a day\n", leastRecall, leastPrecision, mostFalse)
	if !details {
		return
	}
	for _, kind := range kinds {
		k := s.kinds[kind]
		for _, l := range k.missed {
			_, _ = fmt.Fprintf(out, "missed  %s  %s  %s\n", l.from.Format("2006-01-02 15:04"), l.kind, l.subject)
		}
		for _, f := range k.wrong {
			_, _ = fmt.Fprintf(out, "wrong   %s  %s  %s: %s\n", f.at.UTC().Format("2006-01-02 15:04"), f.kind, f.subject, f.detail)
		}
		for _, f := range k.quiet {
			_, _ = fmt.Fprintf(out, "false   %s  %s  %s: %s\n", f.at.UTC().Format("2006-01-02 15:04"), f.kind, f.subject, f.detail)
		}
	}
}
