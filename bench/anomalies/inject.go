package main

import (
	"cmp"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"time"
)

// label is a finding that is right. What was injected on purpose has to be found; the other labels are consequences: to
// report them is no mistake, and not to report them is none either.
type label struct {
	kind, subject string
	from, to      time.Time // when what was found began; zero: whenever
	consequence   bool
}

func (l label) fits(f finding) bool {
	return l.kind == f.kind && l.subject == f.subject && (l.from.IsZero() || !f.at.Before(l.from) && f.at.Before(l.to))
}

// injector changes a scene and says what it did.
type injector struct {
	*scene
	rng    *rand.Rand
	labels []label
	flows  map[string][]*record // by correlation id, by time
	usual  map[series]float64   // events of an hour of the week, on average
	most   map[string]int       // events of a type in its busiest hour
	spoilt map[string]bool      // flows and aggregates that were changed already
}

type series struct {
	kind string // "type" or "source"
	name string
	hour int // of the week
}

// each is how many of each kind are injected.
const each = 20

// inject puts labelled anomalies into the days that are looked at.
func inject(s *scene, seed uint64) []label {
	in := &injector{scene: s, rng: rand.New(rand.NewPCG(seed, 3)), spoilt: map[string]bool{}}
	in.learn()
	in.rates()
	in.silences()
	if s.people {
		in.people()
	}
	in.brokenFlows()
	in.versions()
	in.badRecords()
	in.massReading()
	return in.labels
}

func weekHour(at time.Time) int { return int(at.Weekday())*24 + at.Hour() }

// learn looks at the traffic of the weeks before.
func (in *injector) learn() {
	in.flows, in.usual, in.most = map[string][]*record{}, map[series]float64{}, map[string]int{}
	weeks := 8.0
	hours := map[string]map[time.Time]int{}
	for _, r := range in.events {
		if flow := r.text("correlationId"); flow != "" {
			in.flows[flow] = append(in.flows[flow], r)
		}
		if r.at.Before(in.from) && !r.at.Before(in.from.AddDate(0, 0, -7*int(weeks))) {
			in.usual[series{"type", r.Type, weekHour(r.at)}] += 1 / weeks
			in.usual[series{"source", r.text("source"), weekHour(r.at)}] += 1 / weeks
			if hours[r.Type] == nil {
				hours[r.Type] = map[time.Time]int{}
			}
			hours[r.Type][r.at.Truncate(time.Hour)]++
			in.most[r.Type] = max(in.most[r.Type], hours[r.Type][r.at.Truncate(time.Hour)])
		}
	}
	for _, flow := range in.flows {
		slices.SortFunc(flow, func(a, b *record) int { return a.at.Compare(b.at) })
	}
}

func (in *injector) want(kind, subject string, from, to time.Time) {
	in.labels = append(in.labels, label{kind: kind, subject: subject, from: from, to: to})
}

func (in *injector) also(kind, subject string, from, to time.Time) {
	in.labels = append(in.labels, label{kind, subject, from, to, true})
}

// hours draws hours that are looked at, each once.
func (in *injector) hours(n int, fits func(hour time.Time) bool) []time.Time {
	var all []time.Time
	for hour := in.from; hour.Before(in.to); hour = hour.Add(time.Hour) {
		if fits(hour) {
			all = append(all, hour)
		}
	}
	in.rng.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
	return all[:min(n, len(all))]
}

func (in *injector) within(hour time.Time) time.Time {
	return hour.Add(time.Duration(in.rng.Int64N(int64(time.Hour)))).Truncate(time.Microsecond)
}

func (in *injector) inject(kind, source, user string, hour time.Time, n int) {
	for range n {
		in.add(kind, source, user, in.within(hour))
	}
	in.injected += n
}

// rates imports events of a type by another source. Traffic with a season gets five times what the type has in this hour of
// the week. A file's types come in batches, of which some are far more than five times an hour's average: there it is five
// times the type's busiest hour.
func (in *injector) rates() {
	if !in.isSeasonal {
		types := slices.DeleteFunc(slices.Sorted(maps.Keys(in.most)), func(kind string) bool { return in.most[kind] < 10 })
		in.rng.Shuffle(len(types), func(i, j int) { types[i], types[j] = types[j], types[i] })
		for i, hour := range in.hours(min(each, 2*len(types)), func(time.Time) bool { return true }) {
			in.importOf(types[i%len(types)], hour, 5*in.most[types[i%len(types)]])
		}
		return
	}
	for _, hour := range in.hours(each, func(time.Time) bool { return true }) {
		var types []string
		for s, n := range in.usual {
			if s.kind == "type" && s.hour == weekHour(hour) && n >= 4 && s.name != "Measured" {
				types = append(types, s.name)
			}
		}
		if len(types) == 0 {
			continue
		}
		slices.Sort(types)
		kind := types[in.rng.IntN(len(types))]
		in.importOf(kind, hour, 10+int(4*in.usual[series{"type", kind, weekHour(hour)}]))
	}
}

func (in *injector) importOf(kind string, hour time.Time, n int) {
	const source = "import-job"
	in.inject(kind, source, "", hour, n)
	in.want("rate", "type "+kind, hour, hour.Add(time.Hour))
	in.also("rate", "source "+source, hour, hour.Add(time.Hour))
}

// silences takes away what a source reported in an hour.
func (in *injector) silences() {
	if !in.sensors {
		return
	}
	for i, hour := range in.hours(each, func(hour time.Time) bool { return hour.Hour() >= 8 && hour.Hour() < 20 }) {
		source := sensor(i % sensors)
		before := len(in.events)
		in.events = slices.DeleteFunc(in.events, func(r *record) bool {
			return r.text("source") == source && !r.at.Before(hour) && r.at.Before(hour.Add(time.Hour))
		})
		in.injected += before - len(in.events)
		in.want("silent_source", "source "+source, hour, hour.Add(time.Hour))
		in.also("rate", "type Measured", hour, hour.Add(time.Hour))
	}
}

// people are clerks who do far more than ever, what they never did, or something at night.
func (in *injector) people() {
	const who = "billing-service"
	works := func(hour time.Time) bool {
		return hour.Weekday() != time.Saturday && hour.Weekday() != time.Sunday && hour.Hour() >= 8 && hour.Hour() < 17
	}
	for i, hour := range in.hours(each, works) {
		user := clerk(i % clerks)
		in.inject("InvoiceApproved", who, user, hour, 40+in.rng.IntN(60))
		in.want("actor_volume", "user "+user, hour, hour.Add(time.Hour))
		in.also("rate", "type InvoiceApproved", hour, hour.Add(time.Hour))
		in.also("rate", "source "+who, hour, hour.Add(time.Hour))
	}
	odd := []struct{ user, kind string }{ // each once: what some of a group do is nothing that they never do
		{clerk(0), "PaymentRefunded"}, {clerk(1), "StockReplenished"}, {clerk(2), "ShipmentDispatched"},
		{"packer-01", "InvoiceApproved"}, {"packer-02", "PaymentRefunded"}, {"packer-03", "StockReplenished"}, {"packer-04", "InvoiceRejected"},
		{"agent-01", "InvoiceApproved"}, {"agent-02", "StockReplenished"}, {"agent-03", "ShipmentDispatched"},
	}
	for i, hour := range in.hours(len(odd), works) {
		in.inject(odd[i].kind, who, odd[i].user, hour, 1+in.rng.IntN(3))
		in.want("actor_type", "user "+odd[i].user+", type "+odd[i].kind, hour, hour.Add(time.Hour))
	}
	for i, hour := range in.hours(each, func(hour time.Time) bool { return hour.Hour() >= 1 && hour.Hour() < 5 }) {
		user := clerk(i % clerks)
		in.inject("InvoiceApproved", who, user, hour, 1+in.rng.IntN(4))
		in.want("actor_hours", "user "+user, hour, hour.Add(time.Hour))
	}
}

// rule is two types of which the first comes before the second, or the second follows the first, in all workflows but few.
type rule struct{ a, b string }

// rules finds which hold, over all workflows of the scene that had the time: what people who know the process would say.
func (in *injector) rules(complete time.Time) (precedes, follows []rule) {
	has, before, after, late := map[string]int{}, map[rule]int{}, map[rule]int{}, map[rule]time.Duration{}
	for _, flow := range in.flows {
		if flow[0].at.After(complete) {
			continue
		}
		first := map[string]time.Time{}
		for _, r := range flow {
			if _, there := first[r.Type]; !there {
				first[r.Type] = r.at
			}
		}
		for a, at := range first {
			has[a]++
			for b, then := range first {
				switch {
				case at.Before(then):
					before[rule{a, b}]++
					late[rule{a, b}] = max(late[rule{a, b}], then.Sub(at))
				case a != b:
					after[rule{a, b}]++
				}
			}
		}
	}
	for r, n := range before {
		if has[r.b] >= 200 && float64(n) >= 0.995*float64(has[r.b]) {
			precedes = append(precedes, r)
		}
		if has[r.a] >= 200 && float64(n) >= 0.995*float64(has[r.a]) && late[r] < 24*time.Hour {
			follows = append(follows, r)
		}
	}
	order := func(x, y rule) int { return cmp.Or(cmp.Compare(x.a, y.a), cmp.Compare(x.b, y.b)) }
	slices.SortFunc(precedes, order)
	slices.SortFunc(follows, order)
	return precedes, follows
}

var flowKinds = [...]string{"step_skipped", "step_reversed", "followup_missing"}

// brokenFlows leaves out a step, turns two around, or ends a workflow early.
func (in *injector) brokenFlows() {
	precedes, follows := in.rules(in.from)
	until := in.to.AddDate(0, 0, -4) // a follow-up needs its time to be missing
	for _, kind := range flowKinds {
		candidates := slices.DeleteFunc(slices.Sorted(maps.Keys(in.flows)), func(id string) bool {
			return in.spoilt[id] || in.flows[id][0].at.Before(in.from) || !in.flows[id][0].at.Before(until)
		})
		in.rng.Shuffle(len(candidates), func(i, j int) { candidates[i], candidates[j] = candidates[j], candidates[i] })
		rules := precedes
		if kind == "followup_missing" {
			rules = follows
		}
		n := 0
		for _, id := range candidates {
			if n == each || len(rules) == 0 {
				break
			}
			if in.breakFlow(kind, id, rules[in.rng.IntN(len(rules))], until) {
				n++
			}
		}
	}
}

// breakFlow reports whether the workflow has the rule's steps, and breaks it.
func (in *injector) breakFlow(kind, id string, r rule, until time.Time) bool {
	flow := in.flows[id]
	i := slices.IndexFunc(flow, func(e *record) bool { return e.Type == r.a })
	j := slices.IndexFunc(flow, func(e *record) bool { return e.Type == r.b })
	if i < 0 || j < 0 || i >= j || flow[j].at.After(until) {
		return false
	}
	switch kind {
	case "step_skipped":
		in.remove(func(e *record) bool { return e.text("correlationId") == id && e.Type == r.a })
	case "step_reversed":
		for _, e := range flow { // all of the second type come before all of the first
			if e.Type == r.b && e != flow[j] || e.Type == r.a && e != flow[i] {
				return false
			}
		}
		at, then := flow[i].at, flow[j].at
		if at.Equal(then) {
			return false
		}
		flow[i].move(then)
		flow[j].move(at)
		in.injected += 2
	case "followup_missing":
		cut := flow[i].at
		in.remove(func(e *record) bool { return e.text("correlationId") == id && e.at.After(cut) })
	}
	in.spoilt[id] = true
	in.want(kind, "workflow "+id, time.Time{}, time.Time{})
	for _, other := range flowKinds {
		in.also(other, "workflow "+id, time.Time{}, time.Time{})
	}
	return true
}

// remove takes events away. What is left of their aggregates may have gaps.
func (in *injector) remove(gone func(*record) bool) {
	in.events = slices.DeleteFunc(in.events, func(r *record) bool {
		if !gone(r) {
			return false
		}
		in.injected++
		in.also("version_gap", r.AggregateType+" "+r.AggregateID, time.Time{}, time.Time{})
		return true
	})
}

// versions skips numbers, or has one twice.
func (in *injector) versions() {
	aggregates := map[string][]*record{}
	for _, r := range in.events {
		key := r.AggregateType + " " + r.AggregateID
		aggregates[key] = append(aggregates[key], r)
	}
	for _, kind := range []string{"version_gap", "version_repeat"} {
		keys := slices.DeleteFunc(slices.Sorted(maps.Keys(aggregates)), func(key string) bool {
			all := aggregates[key]
			return len(all) < 2 || in.spoilt[all[0].text("correlationId")] || in.spoilt[key] || slices.ContainsFunc(all, func(r *record) bool { return r.at.Before(in.from) })
		})
		in.rng.Shuffle(len(keys), func(i, j int) { keys[i], keys[j] = keys[j], keys[i] })
		for _, key := range keys[:min(each, len(keys))] {
			last := slices.MaxFunc(aggregates[key], func(a, b *record) int { return cmp.Compare(a.Version, b.Version) })
			if kind == "version_gap" {
				last.Version += 1 + in.rng.IntN(3)
			} else {
				last.Version--
			}
			in.injected++
			in.spoilt[key] = true
			in.want(kind, key, time.Time{}, time.Time{})
		}
	}
}

// badRecords are ids of stored events with another content, and many records that can't be stored.
func (in *injector) badRecords() {
	for _, hour := range in.hours(each, func(time.Time) bool { return true }) {
		stored := slices.IndexFunc(in.events, func(r *record) bool { return r.at.Before(hour.AddDate(0, 0, -1)) })
		in.letters = append(in.letters, nonsense{in.within(hour), in.events[stored+in.rng.IntN(100)].ID})
		in.injected++
		in.want("event_id_conflict", "topic orders", hour, hour.Add(time.Hour))
	}
	for _, hour := range in.hours(each, func(time.Time) bool { return true }) {
		n := 25 + in.rng.IntN(100)
		for range n {
			in.letters = append(in.letters, nonsense{at: in.within(hour)})
		}
		in.injected += n
		in.want("dead_letter_burst", "topic orders", hour, hour.Add(time.Hour))
	}
}

// massReading is somebody who reads or exports far more than anybody.
func (in *injector) massReading() {
	for i, hour := range in.hours(2*each, func(time.Time) bool { return true }) {
		who := principal(in.rng.IntN(principals))
		kind := "mass_reading"
		if i%2 == 0 {
			for range 20 + in.rng.IntN(100) {
				in.readings = append(in.readings, reading{in.within(hour), who, "/v1/events", 1000})
			}
		} else {
			kind = "mass_export"
			in.readings = append(in.readings, reading{in.within(hour), who, "/v1/events/export", 100_000 + in.rng.IntN(400_000)})
		}
		in.want(kind, fmt.Sprint("principal ", who), hour, hour.Add(time.Hour))
	}
}
