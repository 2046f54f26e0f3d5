package analytics

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"math"
	"slices"
	"time"

	"audittrail/modules/store"
)

// The kinds of anomalies.
const (
	kindRate          = "rate"             // a type or source against its own hour of the week
	kindSilent        = "silent_source"    // a source that is never silent in this hour of the week
	kindActorVolume   = "actor_volume"     // a user who does far more in an hour than ever
	kindActorType     = "actor_type"       // a user who does what they never did, and few do
	kindActorHours    = "actor_hours"      // a user at hours at which they never do anything
	kindStepSkipped   = "step_skipped"     // a step without the one that always comes before it
	kindStepReversed  = "step_reversed"    // two steps in the order in which they never are
	kindFollowUp      = "followup_missing" // a step that is not followed by what always follows, beyond the usual time
	kindVersionGap    = "version_gap"
	kindVersionRepeat = "version_repeat"
	kindConflict      = "event_id_conflict"
	kindDeadLetters   = "dead_letter_burst"
	kindMassExport    = "mass_export"
	kindMassReading   = "mass_reading"
)

// kinds are all of them.
func kinds() []string {
	return []string{kindRate, kindSilent, kindActorVolume, kindActorType, kindActorHours, kindStepSkipped, kindStepReversed, kindFollowUp,
		kindVersionGap, kindVersionRepeat, kindConflict, kindDeadLetters, kindMassExport, kindMassReading}
}

// findingID is the same for the same finding, whenever and wherever it is found.
func findingID(kind, subject string, at time.Time) string {
	sum := sha256.Sum256(fmt.Appendf(nil, "%s\x00%s\x00%d", kind, subject, at.UnixMicro()))
	return hex.EncodeToString(sum[:12])
}

func newFinding(kind, subject string, at time.Time, observed, expected, distance float64, detail string) store.Anomaly {
	return store.Anomaly{ID: findingID(kind, subject, at), Kind: kind, Subject: subject, StartedAt: at, Observed: observed, Expected: expected, Distance: distance, Detail: detail, State: "open"}
}

// robust returns the median of some counts, and how far they usually are from it: the median absolute deviation, scaled to
// a standard deviation, and at least what chance alone makes of counts (the square root of the median).
func robust(counts []float64) (median, deviation float64) {
	median = middleOf(counts)
	off := make([]float64, len(counts))
	for i, c := range counts {
		off[i] = math.Abs(c - median)
	}
	return median, max(1.4826*middleOf(off), math.Sqrt(max(median, 1)))
}

func middleOf(values []float64) float64 {
	if len(values) == 0 {
		return 0
	}
	sorted := slices.Sorted(slices.Values(values))
	n := len(sorted)
	return (sorted[(n-1)/2] + sorted[n/2]) / 2
}

// What has to be known of a user before anything that they do is unusual.
const (
	actorDays    = 7
	actorEvents  = 30
	hoursEvents  = 100
	hoursDays    = 14
	actorHistory = 28 * 24 * time.Hour
)

// actor is what a user did before an hour, and in it.
type actor struct {
	hours  map[time.Time]float64 // events by hour
	days   map[time.Time]bool
	types  map[string]float64 // events by type
	ofDay  [24]int
	events float64
	now    map[string]float64 // events of the hour, by type
}

// actors compares users in an hour with themselves before.
func actors(hour time.Time, points []store.Point, threshold float64) []store.Anomaly {
	all := map[string]*actor{}
	for _, p := range points {
		a := all[p.Series]
		if a == nil {
			a = &actor{hours: map[time.Time]float64{}, days: map[time.Time]bool{}, types: map[string]float64{}, now: map[string]float64{}}
			all[p.Series] = a
		}
		if p.Hour.Equal(hour) {
			a.now[p.Kind] += float64(p.Count)
			continue
		}
		a.hours[p.Hour] += float64(p.Count)
		a.days[p.Hour.Truncate(24*time.Hour)] = true
		a.types[p.Kind] += float64(p.Count)
		a.ofDay[p.Hour.Hour()] += int(p.Count)
		a.events += float64(p.Count)
	}
	does := map[string]bool{} // what any of the users that are known well does
	var known []*actor
	for _, a := range all {
		if a.isKnown() {
			known = append(known, a)
			for kind := range a.types {
				does[kind] = true
			}
		}
	}
	var found []store.Anomaly
	for user, a := range all {
		if len(a.now) == 0 || !a.isKnown() {
			continue
		}
		subject, now := "user "+user, 0.0
		for kind, n := range a.now {
			now += n
			// What many of their peers do is new for somebody all the time; what nobody does yet is a new release.
			if a.types[kind] > 0 || !does[kind] {
				continue
			}
			peers, doing := a.peers(known, kind)
			if peers >= leastPeers && float64(doing) <= rareShare*float64(peers) || peers >= 2*leastPeers && doing <= 1 {
				found = append(found, newFinding(kindActorType, subject+", type "+kind, hour, n, 0, a.events,
					fmt.Sprintf("%g events of type %s, after %g events in 28 days of which none was of it; %d of %d users who do alike do this. The distance is the number of events before", n, kind, a.events, doing, peers)))
			}
		}
		var usual []float64
		for _, n := range a.hours {
			usual = append(usual, n)
		}
		median, deviation := robust(usual)
		if distance := (now - median) / deviation; distance >= threshold && now >= 10 && now > 1.5*slices.Max(usual) {
			found = append(found, newFinding(kindActorVolume, subject, hour, now, median, distance,
				fmt.Sprintf("%g events in this hour; in %d other hours of 28 days it was %g at most, usually %g", now, len(usual), slices.Max(usual), median)))
		}
		h := hour.Hour()
		near := a.ofDay[(h+22)%24] + a.ofDay[(h+23)%24] + a.ofDay[h] + a.ofDay[(h+1)%24] + a.ofDay[(h+2)%24]
		if near == 0 && a.events >= hoursEvents && len(a.days) >= hoursDays {
			found = append(found, newFinding(kindActorHours, subject, hour, now, 0, a.events,
				fmt.Sprintf("%g events at %02d:00 UTC; of %g events in 28 days none was within two hours of this time of day. The distance is the number of events before", now, h, a.events)))
		}
	}
	return found
}

// A type is unusual for a user if at most this share of their peers does it, of whom there have to be some.
const (
	leastPeers    = 5
	leastLikeness = 0.5
	rareShare     = 0.05
)

// peers returns how many of the users do alike, and how many of these do kind, which itself does not count for who is
// alike.
func (a *actor) peers(known []*actor, kind string) (peers, doing int) {
	for _, b := range known {
		if b == a || a.likeness(b, kind) < leastLikeness {
			continue
		}
		peers++
		if b.types[kind] > 0 {
			doing++
		}
	}
	return peers, doing
}

// likeness is how alike the shares are that the types have in what two users do: the cosine of both counts, 0 to 1.
func (a *actor) likeness(b *actor, but string) float64 {
	var both, ours, theirs float64
	for kind, n := range a.types {
		if kind != but {
			both += n * b.types[kind]
			ours += n * n
		}
	}
	for kind, n := range b.types {
		if kind != but {
			theirs += n * n
		}
	}
	return both / max(math.Sqrt(ours*theirs), 1)
}

func (a *actor) isKnown() bool { return len(a.days) >= actorDays && a.events >= actorEvents }

// bursts compares the dead letters of an hour with those of the hours of a week before. A conflict of event ids is always
// unusual.
func bursts(hour time.Time, points []store.Point, threshold float64) []store.Anomaly {
	const before = 7 * 24
	now, earlier := map[string]float64{}, map[string][]float64{}
	var found []store.Anomaly
	for _, p := range points {
		switch {
		case p.Kind != "" && p.Hour.Equal(hour):
			found = append(found, newFinding(kindConflict, "topic "+p.Series, hour, float64(p.Count), 0, float64(p.Count),
				fmt.Sprintf("%d records have the id of a stored event and another content; there should be none. The distance is their number", p.Count)))
		case p.Kind != "":
		case p.Hour.Equal(hour):
			now[p.Series] += float64(p.Count)
		default:
			earlier[p.Series] = append(earlier[p.Series], float64(p.Count))
		}
	}
	for topic, n := range now {
		usual := earlier[topic]
		usual = append(usual, make([]float64, max(before-len(usual), 0))...) // hours without any
		median, deviation := robust(usual)
		if distance := (n - median) / deviation; distance >= threshold && n >= 20 {
			found = append(found, newFinding(kindDeadLetters, "topic "+topic, hour, n, median, distance,
				fmt.Sprintf("%g dead letters in this hour; in the hours of the week before it was %g at most, usually %g", n, slices.Max(usual), median)))
		}
	}
	return found
}

// What somebody has to have read before it is unusual, whatever others read.
const (
	leastRead     = 1000
	leastExported = 10_000

	// What somebody did on fewer days is no habit of theirs, with which they could be compared.
	leastHabitDays = 7
)

// readers compares what each principal was shown in an hour with what their peers, and they themselves if they have a habit,
// are shown in an hour in which they read anything.
func readers(hour time.Time, points []store.Point, threshold float64) []store.Anomaly {
	var found []store.Anomaly
	for _, kind := range []struct {
		of, finding string
		least       float64
		what        string
	}{{"", kindMassReading, leastRead, "read"}, {"export", kindMassExport, leastExported, "exported"}} {
		now := map[string]float64{}
		own, days := map[string][]float64{}, map[string]map[time.Time]bool{}
		for _, p := range points {
			switch {
			case p.Kind != kind.of:
			case p.Hour.Equal(hour):
				now[p.Series] += float64(p.Count)
			default:
				own[p.Series] = append(own[p.Series], float64(p.Count))
				if days[p.Series] == nil {
					days[p.Series] = map[time.Time]bool{}
				}
				days[p.Series][p.Hour.Truncate(24*time.Hour)] = true
			}
		}
		for principal, n := range now {
			if n < kind.least { // before anything is compared: that takes as long as there are principals
				continue
			}
			var peers []float64
			for other, counts := range own {
				if other != principal {
					peers = append(peers, counts...)
				}
			}
			for other, count := range now {
				if other != principal {
					peers = append(peers, count)
				}
			}
			median, deviation := robust(peers)
			most := median + threshold*deviation
			if len(days[principal]) >= leastHabitDays {
				median, deviation = robust(own[principal])
				most = max(most, median+threshold*deviation)
			}
			if n < 3*most {
				continue
			}
			median, deviation = robust(append(peers, own[principal]...))
			found = append(found, newFinding(kind.finding, "principal "+principal, hour, n, median, (n-median)/deviation,
				fmt.Sprintf("%g events %s in this hour; they and others have %g in an hour, usually", n, kind.what, median)))
		}
	}
	return found
}

// versions makes findings of gaps and repeats. Types of aggregates in which more than a fifth of those that were looked at
// have any do not number their events, and are left out. looked is how many aggregates of each type were looked at.
func versions(odd []store.OddVersion, looked map[string]int) []store.Anomaly {
	with := map[string]map[string]bool{}
	for _, o := range odd {
		if with[o.Event.AggregateType] == nil {
			with[o.Event.AggregateType] = map[string]bool{}
		}
		with[o.Event.AggregateType][o.Event.AggregateID] = true
	}
	var found []store.Anomaly
	for _, o := range odd {
		kind := o.Event.AggregateType
		if n := len(with[kind]); n > 1 && float64(n) > 0.2*float64(looked[kind]) {
			continue
		}
		name, text := kindVersionGap, fmt.Sprintf("version %d follows version %d: %d are missing. The distance is their number", o.Version, o.Before, o.Version-o.Before-1)
		distance := float64(o.Version - o.Before - 1)
		if o.Version == o.Before {
			name, text, distance = kindVersionRepeat, fmt.Sprintf("version %d is there more than once", o.Version), 1
		}
		a := newFinding(name, kind+" "+o.Event.AggregateID, o.At, float64(o.Version), float64(o.Before)+1, distance, text)
		a.Evidence.Events = []store.EvidenceEvent{o.Event, o.Prior}
		a.Evidence.Kinds = []store.EventKind{o.Event.Kind(), o.Prior.Kind()}
		found = append(found, a)
	}
	return found
}
