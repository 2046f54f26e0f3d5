package store

import (
	"bytes"
	"cmp"
	"crypto/rand"
	"fmt"
	"slices"
	"time"

	"audittrail/modules/event"
	"audittrail/modules/ledger"
	"audittrail/modules/protect"
)

// plan is a batch that is prepared before its transaction begins, so that no lock is held meanwhile. Partitions are
// in lock order, events are grouped by id in lock order, and each event is encoded for COPY, except for the eight
// bytes of its row id.
type plan struct {
	ranges   []Range // sorted by topic id and partition: the order of the fence
	events   []protect.Sealed
	rejected []event.Rejected

	rangeOf    []int32   // of events[i]: its index in ranges
	rejectedIn []int     // of ranges[i]: how many of rejected are in it
	groups     [][]int32 // indices of events with the same id, in batch order; sorted by id
	recordedAt time.Time
	rows       rows
	leaves     []ledger.Hash // of events[i]: its leaf in the ledger

	letters *protect.LetterKey // seals dead letters; nil: they are stored as they are
	redrive *redrive           // not nil: the events are of dead letters, and there are no ranges
}

// newPlan checks the batch's accounting and encodes it. It refuses a batch that does not add up: that is a bug of the
// caller, and storing it would lose offsets.
func newPlan(b Batch, now time.Time) (*plan, error) {
	if len(b.Events) > MaxBatchEvents {
		return nil, fmt.Errorf("append batch: %d events, at most %d", len(b.Events), MaxBatchEvents)
	}
	p := &plan{ranges: slices.Clone(b.Ranges), events: b.Events, rejected: b.Rejected}
	slices.SortFunc(p.ranges, func(x, y Range) int { return comparePartition(x.Partition, y.Partition) })
	if err := p.locate(); err != nil {
		return nil, err
	}
	return p, p.encode(now)
}

// encode prepares the events for the transaction.
func (p *plan) encode(now time.Time) (err error) {
	p.recordedAt = now.UTC().Truncate(time.Microsecond)
	p.group()
	salts := make([]byte, saltBytes*len(p.events))
	rand.Read(salts) // never fails: it would end the program
	p.rows = encodeRows(p.events, p.recordedAt, salts)
	p.leaves, err = leavesOf(p.events, p.recordedAt, salts)
	return err
}

func comparePartition(x, y Partition) int {
	return cmp.Or(bytes.Compare(x.TopicID[:], y.TopicID[:]), cmp.Compare(x.Number, y.Number))
}

// locate finds the range of each record and checks that each range adds up.
func (p *plan) locate() error {
	finder := rangeFinder{ranges: p.ranges}
	left := make([]int64, len(p.ranges)) // offsets not yet explained
	for i, r := range p.ranges {
		if r.To <= r.From || r.Absent < 0 {
			return fmt.Errorf("append batch: %s/%d: range [%d, %d) with %d absent is none", r.Topic, r.Number, r.From, r.To, r.Absent)
		}
		if i > 0 && comparePartition(p.ranges[i-1].Partition, r.Partition) == 0 {
			return fmt.Errorf("append batch: %s/%d: two ranges of one partition", r.Topic, r.Number)
		}
		left[i] = r.To - r.From - r.Absent
	}
	p.rangeOf = make([]int32, len(p.events))
	p.rejectedIn = make([]int, len(p.ranges))
	for i := range p.events {
		at, err := finder.find(p.events[i].Raw().Coordinates)
		if err != nil {
			return err
		}
		p.rangeOf[i] = int32(at)
		left[at]--
	}
	for i := range p.rejected {
		at, err := finder.find(p.rejected[i].Raw.Coordinates)
		if err != nil {
			return err
		}
		p.rejectedIn[at]++
		left[at]--
	}
	for i, n := range left {
		if n != 0 {
			r := p.ranges[i]
			return fmt.Errorf("append batch: %s/%d: range [%d, %d) does not add up: %d offsets unexplained", r.Topic, r.Number, r.From, r.To, n)
		}
	}
	return nil
}

// rangeFinder finds a record's range. Consecutive records are mostly of one partition, so the last range is tried
// first.
type rangeFinder struct {
	ranges []Range
	last   int
}

func (f *rangeFinder) find(c event.Coordinates) (int, error) {
	if !f.holds(f.last, c) {
		at, ok := slices.BinarySearchFunc(f.ranges, Partition{TopicID: c.TopicID, Number: c.Partition},
			func(r Range, p Partition) int { return comparePartition(r.Partition, p) })
		if !ok || !f.holds(at, c) {
			return 0, fmt.Errorf("append batch: record %s/%d offset %d is in none of its ranges", c.Topic, c.Partition, c.Offset)
		}
		f.last = at
	}
	return f.last, nil
}

func (f *rangeFinder) holds(at int, c event.Coordinates) bool {
	if at >= len(f.ranges) {
		return false
	}
	r := &f.ranges[at]
	return r.Number == c.Partition && r.TopicID == c.TopicID && r.From <= c.Offset && c.Offset < r.To
}

// group sorts the events by id, the order in which every append takes its key locks.
func (p *plan) group() {
	order := make([]int32, len(p.events))
	for i := range order {
		order[i] = int32(i)
	}
	id := func(i int32) *event.ID { return &p.events[i].Event().ID }
	slices.SortFunc(order, func(x, y int32) int {
		return cmp.Or(bytes.Compare(id(x)[:], id(y)[:]), cmp.Compare(x, y))
	})
	p.groups = make([][]int32, 0, len(order))
	for from := 0; from < len(order); {
		to := from + 1
		for to < len(order) && *id(order[to]) == *id(order[from]) {
			to++
		}
		p.groups = append(p.groups, order[from:to:to])
		from = to
	}
}

// without returns the batch without some partitions.
func (p *plan) without(gone []Range) Batch {
	isGone := func(c event.Coordinates) bool {
		return slices.ContainsFunc(gone, func(r Range) bool { return r.TopicID == c.TopicID && r.Number == c.Partition })
	}
	var b Batch
	for _, r := range p.ranges {
		if !isGone(event.Coordinates{TopicID: r.TopicID, Partition: r.Number}) {
			b.Ranges = append(b.Ranges, r)
		}
	}
	for _, e := range p.events {
		if !isGone(e.Raw().Coordinates) {
			b.Events = append(b.Events, e)
		}
	}
	for _, r := range p.rejected {
		if !isGone(r.Raw.Coordinates) {
			b.Rejected = append(b.Rejected, r)
		}
	}
	return b
}
