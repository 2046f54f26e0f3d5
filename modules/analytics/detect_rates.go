package analytics

import (
	"fmt"
	"math"
	"slices"
	"time"

	"audittrail/modules/store"
)

// seasons is how many weeks an hour is compared with; leastSeasons, how many there have to be.
const (
	seasons      = 8
	leastSeasons = 3

	// What differs by fewer events is nothing, however far off it is.
	leastDifference = 10

	// What comes in batches, on one day or another, is not unusual on a day on which it did not come before: it has to be
	// more than it was on any of so many days around this time, by so much.
	recentDays  = 28
	recentShare = 1.25

	// What is so many times the most of all hours that it is compared with is unusual, however much these differ.
	recordShare = 3

	// What was far above its season on so many of these days, at whatever time, has no season. It has to be so many times what
	// it was in any of their hours but one: that one may have been an anomaly too.
	batchDays  = 4
	batchShare = 2
)

// rateSpan is how far back the counts reach that any rate is compared with: the weeks before the first of the recent days.
const rateSpan = (recentDays + 7*seasons) * 24 * time.Hour

// rateHours are all hours that a rate may be compared with, the hour itself first.
func rateHours(hour time.Time) []time.Time {
	var hours []time.Time
	for at := hour; !at.Before(hour.Add(-rateSpan)); at = at.Add(-time.Hour) {
		hours = append(hours, at)
	}
	return hours
}

// rateDays are the days of rateHours. Whoever may see all that there is on them may see what a rate is compared with.
func rateDays(hour time.Time) []time.Time {
	var days []time.Time
	for day := hour.Truncate(24 * time.Hour); !day.Before(hour.Add(-rateSpan).Truncate(24 * time.Hour)); day = day.AddDate(0, 0, -1) {
		days = append(days, day)
	}
	return days
}

// seasonHours are an hour, and the same hour of the weeks before.
func seasonHours(hour time.Time) []time.Time {
	hours := make([]time.Time, seasons+1)
	for i := range hours {
		hours[i] = hour.Add(-time.Duration(i) * 7 * 24 * time.Hour)
	}
	return hours
}

// recentHours are the hours that surround the same time of day on the days before.
func recentHours(hour time.Time) []time.Time {
	var hours []time.Time
	for day := 1; day <= recentDays; day++ {
		for off := -1; off <= 1; off++ {
			hours = append(hours, hour.AddDate(0, 0, -day).Add(time.Duration(off)*time.Hour))
		}
	}
	return hours
}

// firstHours are those of rateHours that are read of every series.
func firstHours(hour time.Time) []time.Time { return append(seasonHours(hour), recentHours(hour)...) }

// hourly are the events of series by hour, and when each series began.
type hourly struct {
	of    map[string]map[time.Time]float64
	began map[string]time.Time
}

func hourlyOf(points, first []store.Point) hourly {
	c := hourly{map[string]map[time.Time]float64{}, map[string]time.Time{}}
	for _, p := range first {
		c.began[p.Series] = p.Hour
	}
	for _, p := range points {
		if c.of[p.Series] == nil {
			c.of[p.Series] = map[time.Time]float64{}
		}
		c.of[p.Series][p.Hour] += float64(p.Count)
	}
	return c
}

// season is what a series has in an hour of the week.
type season struct {
	before            []float64 // the weeks before, in which the series existed
	median, deviation float64
}

// season returns that of an hour, and false if the series did not exist for long enough.
func (c hourly) season(series string, hour time.Time) (s season, isKnown bool) {
	began, exists := c.began[series]
	for _, h := range seasonHours(hour)[1:] {
		if exists && !began.After(h) {
			s.before = append(s.before, c.of[series][h])
		}
	}
	if len(s.before) < leastSeasons {
		return s, false
	}
	s.median, s.deviation = robust(s.before)
	return s, true
}

// rates compares an hour with the same hour of the weeks before, in which the series existed already. threshold is in
// deviations.
func rates(what string, hour time.Time, points, first []store.Point, threshold float64) []store.Anomaly {
	c := hourlyOf(points, first)
	var found []store.Anomaly
	for series, by := range c.of {
		usual, isKnown := c.season(series, hour)
		if !isKnown {
			continue
		}
		now, median, before := by[hour], usual.median, usual.before
		distance := (now - median) / usual.deviation
		subject := what + " " + series
		if what == "source" && now == 0 && slices.Min(before) > 0 && median >= 9 {
			found = append(found, newFinding(kindSilent, subject, hour, 0, median, -distance,
				fmt.Sprintf("no event in this hour; the same hour of the %d weeks before had %g to %g, usually %g", len(before), slices.Min(before), slices.Max(before), median)))
			continue
		}
		recent := 0.0
		for _, h := range recentHours(hour) {
			recent = max(recent, by[h])
		}
		isFar := math.Abs(distance) >= threshold || now > recordShare*max(recent, slices.Max(before))
		if isFar && math.Abs(now-median) >= leastDifference && (now < median || now > recentShare*recent) {
			found = append(found, newFinding(kindRate, subject, hour, now, median, distance,
				fmt.Sprintf("%g events in this hour; the same hour of the %d weeks before had %g to %g, usually %g", now, len(before), slices.Min(before), slices.Max(before), median)))
		}
	}
	return found
}

// batched reports whether a series comes in batches of which an hour's is none that stands out. The counts have to reach
// back to rateHours.
func (c hourly) batched(series string, hour time.Time, threshold float64) bool {
	days := map[time.Time]bool{}
	var first, second float64 // the fullest hours
	for h := hour.Add(-time.Hour); !h.Before(hour.AddDate(0, 0, -recentDays)); h = h.Add(-time.Hour) {
		now := c.of[series][h]
		if now < leastDifference { // saves most of the work
			continue
		}
		if now > first {
			first, second = now, first
		} else {
			second = max(second, now)
		}
		usual, isKnown := c.season(series, h)
		if isKnown && now-usual.median >= max(leastDifference, threshold*usual.deviation) {
			days[h.Truncate(24*time.Hour)] = true
		}
	}
	return len(days) >= batchDays && c.of[series][hour] <= batchShare*second
}
