package store

import (
	"slices"
	"time"
)

// maxHours is how many hours are looked up one by one to correct days: those of a zone two hours off UTC in 27 years.
const maxHours = 20_000

// statsPlan says where a count comes from.
type statsPlan struct {
	table   string // rollup_events, rollup_users; "" for events alone
	pieces  []piece
	shifted bool // days of UTC count at their noon, and a piece with hours corrects them
}

// piece is a part of the time that is read from one unit of a rollup, or from the events.
type piece struct {
	unit     string      // "" for the events
	from, to time.Time   // zero: open
	hours    []time.Time // not nil: these alone, each added to its own interval and taken away from that of its day
}

// sketched reports whether the sketches of all parts exist.
func (p statsPlan) sketched() bool {
	return p.table == "rollup_events" && !slices.ContainsFunc(p.pieces, func(p piece) bool { return p.unit != "hour" && p.unit != "day" })
}

// plan chooses the rollup: that of users has no aggregate types and sources, and so no scopes. It is read within the days
// that it has: the zone was looked at for these.
func (s Stats) plan(unscoped bool, ends statsEnds) statsPlan {
	p := statsPlan{}
	byUser := s.UserID != "" || slices.Contains(s.GroupBy, ByUser)
	units := []string{"day", "hour", "minute"}
	switch {
	case !byUser:
		p.table = "rollup_events"
	case unscoped && s.AggregateType == "" && s.Source == "" && !slices.Contains(s.GroupBy, ByAggregateType) && !slices.Contains(s.GroupBy, BySource):
		p.table, units = "rollup_users", units[:2]
	}
	coarsest := s.coarsest(units, ends)
	if p.table == "" || coarsest == "none" {
		return statsPlan{pieces: []piece{{from: s.From, to: s.To}}}
	}
	cut := func(coarsest string) []piece {
		all := pieces(s.From, s.To, units[slices.Index(units, coarsest):])
		for i := range all {
			all[i].from, all[i].to = ends.span(all[i].from, all[i].to)
		}
		return all
	}
	if coarsest == "hour" && s.Interval != "hour" && s.Distinct == nil { // nothing can be taken away from a sketch
		if p.pieces = s.shift(cut("day")); p.pieces != nil {
			p.shifted = true
			return p
		}
	}
	p.pieces = cut(coarsest)
	return p
}

func unitWidth(unit string) time.Duration {
	return map[string]time.Duration{"day": 24 * time.Hour, "hour": time.Hour, "minute": time.Minute}[unit]
}

// coarsest is the coarsest of the units that an interval is made of; "none" if none is. Days of UTC are not those of
// other zones, and some zones are off by half an hour.
func (s Stats) coarsest(units []string, ends statsEnds) string {
	for _, unit := range units {
		width := unitWidth(unit)
		if s.Interval == "hour" && width > time.Hour || s.Interval == "minute" && width > time.Minute {
			continue
		}
		if s.offsetsAre(width, ends) {
			return unit
		}
	}
	return "none"
}

// span is the time from … to within the days that the rollups have.
func (e statsEnds) span(from, to time.Time) (time.Time, time.Time) {
	if from.Before(e.earliest) {
		from = e.earliest
	}
	if end := e.latest.Add(24 * time.Hour); to.IsZero() || to.After(end) {
		to = end
	}
	return from, to
}

// offsetsAre reports whether all of the zone's offsets, and the moments at which they change, are multiples of a width.
func (s Stats) offsetsAre(width time.Duration, ends statsEnds) bool {
	for at, to := ends.span(s.From, s.To); ; {
		at = at.In(s.Zone)
		_, offset := at.Zone()
		_, next := at.ZoneBounds()
		if time.Duration(offset)*time.Second%width != 0 {
			return false
		}
		if next.IsZero() || !next.Before(to) {
			return true
		}
		if !next.Truncate(width).Equal(next) {
			return false
		}
		at = next
	}
}

// shift adds to pieces whose days count at their noon the hours that lie in another interval of the zone than this noon.
// It returns nil where the hours alone are hardly more, or where these are too many.
func (s Stats) shift(cut []piece) []piece {
	i := slices.IndexFunc(cut, func(p piece) bool { return p.unit == "day" })
	if i < 0 {
		return nil
	}
	days, hours := cut[i], []time.Time{}
	for day := days.from.UTC(); day.Before(days.to); day = day.Add(24 * time.Hour) {
		noon := s.localStart(day.Add(12 * time.Hour))
		for h := range 24 {
			if hour := day.Add(time.Duration(h) * time.Hour); s.localStart(hour) != noon {
				hours = append(hours, hour)
			}
		}
		if len(hours) > maxHours {
			return nil
		}
	}
	if 2*time.Duration(len(hours))*time.Hour > days.to.Sub(days.from) {
		return nil
	}
	return append(cut, piece{unit: "hour", hours: hours})
}

// localStart is the date on which an interval of the zone begins, as a day of UTC.
func (s Stats) localStart(at time.Time) time.Time {
	at = at.In(s.Zone)
	year, month, day := at.Date()
	switch s.Interval {
	case "week":
		day -= int(at.Weekday()+6) % 7
	case "month":
		day = 1
	}
	return time.Date(year, month, day, 0, 0, 0, 0, time.UTC)
}

// pieces cuts a time into the whole units in it, the coarsest first, and what is left at its ends.
func pieces(from, to time.Time, units []string) []piece {
	if len(units) == 0 {
		return []piece{{from: from, to: to}}
	}
	width := unitWidth(units[0])
	lower, upper := from, to
	if !from.IsZero() {
		if lower = from.Truncate(width); lower.Before(from) {
			lower = lower.Add(width)
		}
	}
	if !to.IsZero() {
		upper = to.Truncate(width)
	}
	if !lower.IsZero() && !upper.IsZero() && !lower.Before(upper) {
		return pieces(from, to, units[1:])
	}
	out := []piece{{unit: units[0], from: lower, to: upper}}
	if from.Before(lower) {
		out = append(out, pieces(from, lower, units[1:])...)
	}
	if upper.Before(to) {
		out = append(out, pieces(upper, to, units[1:])...)
	}
	return out
}
