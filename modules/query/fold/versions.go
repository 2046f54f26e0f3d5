package fold

import (
	"slices"

	"audittrail/modules/event"
)

// maxListed is how many gaps, repeats and events out of order are listed; more are counted.
const maxListed = 100

// Versions gathers what is odd about the versions of an aggregate's events.
type Versions struct {
	seen     []int32
	greatest int32
	disorder []Late
	late     int
}

// Gap is a run of versions that no event has.
type Gap struct{ From, To int32 }

// Repeat is a version that several events have.
type Repeat struct {
	Version int32
	Events  int
}

// Late is an event that comes after one with a greater version.
type Late struct {
	Event           event.ID
	Version, Behind int32
}

// Add takes the next event in the order of the fold.
func (v *Versions) Add(e *event.Stored) {
	if len(v.seen) > 0 && e.Version < v.greatest {
		if v.late++; len(v.disorder) < maxListed {
			v.disorder = append(v.disorder, Late{e.ID, e.Version, v.greatest})
		}
	}
	v.greatest = max(v.greatest, e.Version)
	v.seen = append(v.seen, e.Version)
}

// Events is how many events there were.
func (v *Versions) Events() int { return len(v.seen) }

// Greatest is the greatest version.
func (v *Versions) Greatest() int32 { return v.greatest }

// Report is what is odd about the versions: lists of at most 100 each, and how many there are in all.
// Versions count from 0 or 1; so where the least is 3 the first gap is from 1 to 2.
type Report struct {
	Gaps                             []Gap
	Repeats                          []Repeat
	Disorder                         []Late
	AllGaps, AllRepeats, AllDisorder int
}

// Report looks at all that was added.
func (v *Versions) Report() Report {
	r := Report{Gaps: []Gap{}, Repeats: []Repeat{}, Disorder: append([]Late{}, v.disorder...), AllDisorder: v.late}
	sorted := slices.Clone(v.seen)
	slices.Sort(sorted)
	next := int32(1) // the version that is due
	for i := 0; i < len(sorted); {
		version, n := sorted[i], 1
		for i+n < len(sorted) && sorted[i+n] == version {
			n++
		}
		i += n
		if version > next {
			if r.AllGaps++; len(r.Gaps) < maxListed {
				r.Gaps = append(r.Gaps, Gap{next, version - 1})
			}
		}
		if n > 1 {
			if r.AllRepeats++; len(r.Repeats) < maxListed {
				r.Repeats = append(r.Repeats, Repeat{version, n})
			}
		}
		next = version + 1 // overflows behind the greatest version there can be, which is the last
	}
	return r
}
