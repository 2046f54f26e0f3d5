package analytics

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"time"

	"audittrail/modules/store"
)

// A rule about workflows holds where it holds for so many of so many workflows. Some that lack a follow-up have ended in
// another way, so its share is lower.
const (
	leastFlows    = 50
	ruleShare     = 0.99
	followUpShare = 0.97

	// patience is how often a follow-up's usual time has to pass before it is missing.
	patience = 3
)

// flow is a workflow.
type flow struct {
	id     string
	events []store.FlowEvent
	first  map[string]int // by type, the index of its first event
}

func (f flow) last() string { return f.events[len(f.events)-1].Event.EventType }

// maxRuleTypes is how many event types rules are about. Pairs grow with the square of their number, and producers choose
// their names: a workflow of a hundred thousand types must not take all memory.
const maxRuleTypes = 100

// frequent are the types that most workflows have.
func frequent(events []store.FlowEvent) map[string]bool {
	flows, lastFlow := map[string]int{}, map[string]string{}
	for _, e := range events {
		if kind := e.Event.EventType; flows[kind] == 0 || lastFlow[kind] != e.Flow {
			flows[kind]++
			lastFlow[kind] = e.Flow
		}
	}
	types := slices.SortedFunc(maps.Keys(flows), func(a, b string) int { return cmp.Or(cmp.Compare(flows[b], flows[a]), cmp.Compare(a, b)) })
	known := map[string]bool{}
	for _, kind := range types[:min(len(types), maxRuleTypes)] {
		known[kind] = true
	}
	return known
}

// flowsOf are the workflows. Of types that are not frequent nothing is learned.
func flowsOf(events []store.FlowEvent) []flow {
	var all []flow
	known := frequent(events)
	for i, e := range events {
		if i == 0 || events[i-1].Flow != e.Flow {
			all = append(all, flow{id: e.Flow, first: map[string]int{}})
		}
		f := &all[len(all)-1]
		if _, there := f.first[e.Event.EventType]; !there && known[e.Event.EventType] {
			f.first[e.Event.EventType] = len(f.events)
		}
		f.events = append(f.events, e)
	}
	return all
}

// A type ends workflows if at least so many of those that have it, and have been at rest for long, ended with it.
const (
	leastEnds = 5
	endShare  = 0.1
)

// endings are the types with which workflows end. Who has come to one waits for nothing. rest is how long nothing may
// have come for a workflow to be at rest: what stops at a step that goes on usually is few among those that have it.
func endings(flows []flow, rest time.Duration, now time.Time) map[string]bool {
	has, last := map[string]int{}, map[string]int{}
	for _, f := range flows {
		if now.Sub(f.events[len(f.events)-1].At) < rest {
			continue
		}
		last[f.last()]++
		for kind := range f.first {
			has[kind]++
		}
	}
	ends := map[string]bool{}
	for kind, n := range last {
		ends[kind] = n >= leastEnds && float64(n) >= endShare*float64(has[kind])
	}
	return ends
}

// rule is what is known of two types of events, of which the first usually comes before the second.
type rule struct {
	a, b       string
	before     int     // workflows in which a comes before b
	hasA, hasB int     // workflows with a, and with b
	gap        float64 // seconds between both: the median
	late       float64 // and the 99th percentile
	precedes   bool    // b does not come without a before it
	follows    bool    // a does not stay without b after it
}

// waiting returns how many workflows with a have no b yet, and may still get it in time.
func (r rule) waiting(flows []flow, now time.Time) (n int) {
	for _, f := range flows {
		i, hasA := f.first[r.a]
		if _, hasB := f.first[r.b]; hasA && !hasB && !r.isOver(f.events[i].At, now) {
			n++
		}
	}
	return n
}

// isOver reports whether the time for a follow-up of what happened at a moment is over.
func (r rule) isOver(at, now time.Time) bool { return now.Sub(at).Seconds() > patience*max(r.late, 1) }

// learn returns the rules that hold for the workflows, those first whose steps are closest to each other.
func learn(flows []flow, now time.Time) []rule {
	has, gaps := map[string]int{}, map[[2]string][]float64{}
	for _, f := range flows {
		for b, j := range f.first {
			has[b]++
			for a, i := range f.first {
				if i < j {
					key := [2]string{a, b}
					gaps[key] = append(gaps[key], f.events[j].At.Sub(f.events[i].At).Seconds())
				}
			}
		}
	}
	var rules []rule
	for key, all := range gaps {
		r := rule{a: key[0], b: key[1], before: len(all), hasA: has[key[0]], hasB: has[key[1]]}
		if r.before < leastFlows/2 {
			continue
		}
		slices.Sort(all)
		r.gap, r.late = middleOf(all), all[min(len(all)*99/100, len(all)-1)]
		r.precedes = r.hasB >= leastFlows && float64(r.before) >= ruleShare*float64(r.hasB)
		if 2*r.before >= r.hasA { // else it is no rule, whoever waits
			had := r.hasA - r.waiting(flows, now)
			r.follows = had >= leastFlows && float64(r.before) >= followUpShare*float64(had)
		}
		if r.precedes || r.follows {
			rules = append(rules, r)
		}
	}
	slices.SortFunc(rules, func(x, y rule) int {
		return cmp.Or(cmp.Compare(x.gap, y.gap), cmp.Compare(x.a, y.a), cmp.Compare(x.b, y.b))
	})
	return rules
}

// workflows learns which steps always come before and after which, from workflows that began at or after since, and
// returns those that break what it learned. now is how far the events reach.
func workflows(events []store.FlowEvent, since, now time.Time) []store.Anomaly {
	var flows []flow
	for _, f := range flowsOf(events) {
		if !f.events[0].At.Before(since) { // what was cut off at its beginning breaks every rule
			flows = append(flows, f)
		}
	}
	rules, ends := learn(flows, now), endings(flows, now.Sub(since)/2, now)
	var found []store.Anomaly
	for _, f := range flows {
		found = append(found, broken(f, rules, ends, now)...)
	}
	return found
}

// broken returns what a workflow breaks: of each kind the first of the rules.
func broken(f flow, rules []rule, ends map[string]bool, now time.Time) []store.Anomaly {
	var found []store.Anomaly
	for _, r := range rules {
		a, one := r.breach(f, now)
		if !one || a.Kind == kindFollowUp && ends[f.last()] || slices.ContainsFunc(found, func(other store.Anomaly) bool { return other.Kind == a.Kind }) {
			continue
		}
		found = append(found, a)
	}
	return found
}

// breach reports whether a workflow breaks the rule, and how.
func (r rule) breach(f flow, now time.Time) (store.Anomaly, bool) {
	i, hasA := f.first[r.a]
	j, hasB := f.first[r.b]
	finding := func(kind string, at store.FlowEvent, expected, distance float64, detail string, more ...store.FlowEvent) (store.Anomaly, bool) {
		a := newFinding(kind, "workflow "+f.id, f.events[0].At, 0, expected, distance, detail) // the id stays the same, whichever rule it is
		a.StartedAt = at.At
		for _, e := range append([]store.FlowEvent{at}, more...) {
			a.Evidence.Events = append(a.Evidence.Events, e.Event)
		}
		return a, true
	}
	switch {
	case hasB && !hasA && r.precedes:
		return finding(kindStepSkipped, f.events[j], float64(r.before)/float64(r.hasB), float64(r.before),
			fmt.Sprintf("%s without %s, which comes before it in %d of %d workflows. The distance is their number", r.b, r.a, r.before, r.hasB))
	case hasB && hasA && i > j && r.precedes:
		return finding(kindStepReversed, f.events[j], float64(r.before)/float64(r.hasB), float64(r.before),
			fmt.Sprintf("%s before %s, which comes first in %d of %d workflows. The distance is their number", r.b, r.a, r.before, r.hasB), f.events[i])
	case hasA && !hasB && r.follows:
		if usual, waited := max(r.late, 1), now.Sub(f.events[i].At).Seconds(); r.isOver(f.events[i].At, now) {
			return finding(kindFollowUp, f.events[i], usual, waited/usual,
				fmt.Sprintf("%s has waited %s for %s, which follows within %s in 99 of 100 workflows. The distance is the ratio of both",
					r.a, time.Duration(waited)*time.Second, r.b, time.Duration(usual)*time.Second))
		}
	}
	return store.Anomaly{}, false
}
