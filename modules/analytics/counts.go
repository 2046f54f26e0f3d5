package analytics

import (
	"context"
	"maps"
	"slices"
	"time"

	"audittrail/modules/analytics/sketch"
	"audittrail/modules/store"
)

// cursorCounts is the cursor of the counts.
const cursorCounts = "counts"

// The units in which events are counted.
const (
	unitMinute = "minute"
	unitHour   = "hour"
	unitDay    = "day"
)

// width is how long a unit is. The zero time is a midnight, so days are UTC's.
func width(unit string) time.Duration {
	switch unit {
	case unitMinute:
		return time.Minute
	case unitHour:
		return time.Hour
	}
	return 24 * time.Hour
}

// countsBatch is how many events are counted in one transaction, about.
const countsBatch = 10_000

// counts are what a batch of events adds to the rollups.
type counts struct {
	events map[store.EventKey]*eventCount
	users  map[store.UserKey]int64
}

type eventCount struct {
	count             int64
	aggregates, users sketch.Distinct
}

func count(facts []store.Fact) counts {
	c := counts{map[store.EventKey]*eventCount{}, map[store.UserKey]int64{}}
	for i := range facts {
		c.add(&facts[i])
	}
	return c
}

func (c counts) add(f *store.Fact) {
	key := store.EventKey{Type: f.Type, AggregateType: f.AggregateType}
	if f.Source != nil {
		key.Source, key.HasSource = *f.Source, true
	}
	for _, unit := range [...]string{unitMinute, unitHour, unitDay} {
		key.Unit, key.Start = unit, f.Timestamp.Truncate(width(unit))
		n := c.events[key]
		if n == nil {
			n = &eventCount{}
			c.events[key] = n
		}
		n.count++
		if unit == unitMinute {
			continue
		}
		n.aggregates.Add(f.AggregateType, f.AggregateID)
		if f.User != nil {
			n.users.Add(*f.User)
			c.users[store.UserKey{Unit: unit, Start: key.Start, User: *f.User, Type: f.Type}]++
		}
	}
}

// save adds the counts of the positions from … to-1 to the rollups.
func (c counts) save(ctx context.Context, session *store.Analytics, from, to int64) error {
	keys := slices.SortedFunc(maps.Keys(c.events), store.EventKey.Compare)
	var sketched []store.EventKey
	for _, key := range keys {
		if key.Unit != unitMinute {
			sketched = append(sketched, key)
		}
	}
	err := session.Sketches(ctx, sketched, func(i int, aggregates, users []byte) error {
		n := c.events[sketched[i]]
		if err := n.aggregates.Merge(aggregates); err != nil {
			return err
		}
		return n.users.Merge(users)
	})
	if err != nil {
		return err
	}
	events := make([]store.EventCount, 0, len(keys))
	for _, key := range keys {
		n := c.events[key]
		events = append(events, store.EventCount{EventKey: key, Count: n.count, Aggregates: n.aggregates.Encode(), Users: n.users.Encode()})
	}
	users := make([]store.UserCount, 0, len(c.users))
	for _, key := range slices.SortedFunc(maps.Keys(c.users), store.UserKey.Compare) {
		users = append(users, store.UserCount{UserKey: key, Count: c.users[key]})
	}
	return session.AddCounts(ctx, cursorCounts, from, to, events, users)
}
