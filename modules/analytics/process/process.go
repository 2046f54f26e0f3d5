// Package process tells out of what happened, case by case, how a process goes: which event follows which (the
// directly-follows graph of process mining; van der Aalst, Process Mining, 2nd edition, chapter 6), in which variants, how
// long steps take, and how far cases come (a funnel). It is pure.
//
// A case is an aggregate, or a workflow; its events are given in the order of their time.
package process

import (
	"cmp"
	"encoding/binary"
	"slices"
	"time"

	"audittrail/modules/analytics/sketch"
)

// Step is an event of a case.
type Step struct {
	Type string
	At   time.Time
}

// Graph is what follows what, over all cases that were added. The zero value has none.
type Graph struct {
	Cases, Events int64
	TooMany       bool // edges beyond MaxEdges were left out
	activities    map[string]*Activity
	edges         map[[2]int]*Edge    // by the numbers of their types
	variants      map[string]*Variant // by the numbers of all their types
	key           []byte              // scratch
}

// MaxEdges is how many edges a graph has at most: beyond, it is no picture of anything, and takes much memory.
const MaxEdges = 5000

// Activity is an event type of a process.
type Activity struct {
	Type                string
	Count, Starts, Ends int64
	number              int // of the types in the order in which they were met
}

// Edge says how often an event of one type is followed directly by one of another.
type Edge struct {
	From, To  string
	Count     int64
	FirstSeen time.Time // when the second event of the first such pair happened
	durations sketch.Durations
}

// Quantile is the time between the two events that a share q does not exceed.
func (e *Edge) Quantile(q float64) time.Duration { return e.durations.Quantile(q) }

// Variant is a sequence of event types that whole cases have.
type Variant struct {
	Types     []string
	Count     int64
	FirstSeen time.Time // when the last event of the first such case happened
}

// maxVariantSteps is how long a variant's list of types is kept; variants that are longer are told apart all the same.
const maxVariantSteps = 100

// Add adds a case.
func (g *Graph) Add(steps []Step) {
	if len(steps) == 0 {
		return
	}
	if g.activities == nil {
		g.activities, g.edges, g.variants = map[string]*Activity{}, map[[2]int]*Edge{}, map[string]*Variant{}
	}
	g.Cases++
	g.Events += int64(len(steps))
	g.key = g.key[:0]
	before := 0
	for i, s := range steps {
		a := g.activities[s.Type]
		if a == nil {
			a = &Activity{Type: s.Type, number: len(g.activities)}
			g.activities[s.Type] = a
		}
		a.Count++
		if i == 0 {
			a.Starts++
		} else {
			g.follow([2]int{before, a.number}, steps[i-1], s)
		}
		if i == len(steps)-1 {
			a.Ends++
		}
		before = a.number
		g.key = binary.AppendUvarint(g.key, uint64(a.number))
	}
	g.variant(steps)
}

func (g *Graph) follow(types [2]int, first, second Step) {
	e := g.edges[types]
	if e == nil {
		if len(g.edges) == MaxEdges {
			g.TooMany = true
			return
		}
		e = &Edge{From: first.Type, To: second.Type, FirstSeen: second.At}
		g.edges[types] = e
	}
	e.Count++
	e.durations.Add(second.At.Sub(first.At), 1)
	if second.At.Before(e.FirstSeen) {
		e.FirstSeen = second.At
	}
}

func (g *Graph) variant(steps []Step) {
	last := steps[len(steps)-1].At
	v := g.variants[string(g.key)]
	if v == nil {
		v = &Variant{FirstSeen: last}
		for _, s := range steps[:min(len(steps), maxVariantSteps)] {
			v.Types = append(v.Types, s.Type)
		}
		g.variants[string(g.key)] = v
	}
	v.Count++
	if last.Before(v.FirstSeen) {
		v.FirstSeen = last
	}
}

// Activities are the event types, the most frequent first.
func (g *Graph) Activities() []*Activity {
	all := make([]*Activity, 0, len(g.activities))
	for _, a := range g.activities {
		all = append(all, a)
	}
	slices.SortFunc(all, func(a, b *Activity) int { return cmp.Or(cmp.Compare(b.Count, a.Count), cmp.Compare(a.Type, b.Type)) })
	return all
}

// Edges are what follows what, the most frequent first.
func (g *Graph) Edges() []*Edge {
	all := make([]*Edge, 0, len(g.edges))
	for _, e := range g.edges {
		all = append(all, e)
	}
	slices.SortFunc(all, func(a, b *Edge) int {
		return cmp.Or(cmp.Compare(b.Count, a.Count), cmp.Compare(a.From, b.From), cmp.Compare(a.To, b.To))
	})
	return all
}

// Variants are the sequences, the most frequent first.
func (g *Graph) Variants() []*Variant {
	all := make([]*Variant, 0, len(g.variants))
	for _, v := range g.variants {
		all = append(all, v)
	}
	slices.SortFunc(all, func(a, b *Variant) int {
		return cmp.Or(cmp.Compare(b.Count, a.Count), slices.Compare(a.Types, b.Types))
	})
	return all
}

// Funnel counts how many cases come how far: each of its types must happen after the one before it. A case that does not
// have the first type is not counted.
type Funnel struct {
	Types  []string
	Counts []int64 // by type
	// Since the step before, and since the first one; of the first step they are empty.
	Step, Whole []sketch.Durations

	at []time.Time // scratch
}

// NewFunnel makes a funnel of some types.
func NewFunnel(types []string) *Funnel {
	return &Funnel{Types: types, Counts: make([]int64, len(types)), Step: make([]sketch.Durations, len(types)), Whole: make([]sketch.Durations, len(types))}
}

// Add adds a case. Its first step is looked for from since on, and before until.
func (f *Funnel) Add(steps []Step, since, until time.Time) {
	at := f.reached(steps, since, until)
	for i := range at {
		f.Counts[i]++
		if i > 0 {
			f.Step[i].Add(at[i].Sub(at[i-1]), 1)
			f.Whole[i].Add(at[i].Sub(at[0]), 1)
		}
	}
}

// IsOpen reports whether a case may come farther with steps that follow these.
func (f *Funnel) IsOpen(steps []Step, since, until time.Time) bool {
	n := len(f.reached(steps, since, until))
	return n > 0 && n < len(f.Types)
}

// reached returns when a case came to each of the types, as far as it came. The times are good until the next call.
func (f *Funnel) reached(steps []Step, since, until time.Time) []time.Time {
	f.at = f.at[:0]
	for _, s := range steps {
		next := len(f.at)
		if next == len(f.Types) {
			break
		}
		if s.Type == f.Types[next] && (next > 0 || within(s.At, since, until)) {
			f.at = append(f.at, s.At)
		}
	}
	return f.at
}

// within reports whether a time lies in [since, until); zero is open.
func within(at, since, until time.Time) bool {
	return !at.Before(since) && (until.IsZero() || at.Before(until))
}

// Between counts how long it takes from an event of one type to the next event of another, in the same case.
type Between struct {
	From, To  string
	Count     int64 // pairs
	Open      int64 // events of From that none of To has followed, before the next one of From
	Durations sketch.Durations
	sum       float64 // of microseconds: whole numbers overflow where many pairs take decades
	Least     time.Duration
	Most      time.Duration
}

// Add adds a case. Events of From count from since on, and before until.
func (b *Between) Add(steps []Step, since, until time.Time) {
	var began time.Time
	open := false
	for _, s := range steps {
		if open && s.Type == b.To {
			b.pair(s.At.Sub(began))
			open = false
		}
		if s.Type == b.From && within(s.At, since, until) {
			if open {
				b.Open++
			}
			began, open = s.At, true
		}
	}
	if open {
		b.Open++
	}
}

// IsOpen reports whether an event of From still waits for one of To after these steps.
func (b *Between) IsOpen(steps []Step, since, until time.Time) (open bool) {
	for _, s := range steps {
		if s.Type == b.From && within(s.At, since, until) {
			open = true
		} else if s.Type == b.To {
			open = false
		}
	}
	return open
}

func (b *Between) pair(d time.Duration) {
	if b.Count == 0 || d < b.Least {
		b.Least = d
	}
	b.Most = max(b.Most, d)
	b.Count++
	b.sum += float64(d.Microseconds())
	b.Durations.Add(d, 1)
}

// Mean is the mean duration; 0 where there is none.
func (b *Between) Mean() time.Duration {
	if b.Count == 0 {
		return 0
	}
	return time.Duration(b.sum/float64(b.Count)) * time.Microsecond
}
