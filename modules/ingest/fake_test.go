package ingest

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"testing"

	"audittrail/modules/event"
	"audittrail/modules/protect"
	"audittrail/modules/store"
)

// fakeStore keeps the contract of store.Append in memory: the fence, the accounting, dedupe by id. It
// fails the test where ingest breaks its side of the contract.
type fakeStore struct {
	t testing.TB

	mu        sync.Mutex
	admitted  map[string]event.TopicID
	offsets   map[store.Partition]*fakeOffset
	asked     int                               // for offsets
	noOffsets error                             // what asking for offsets answers, if not nil
	last      map[store.Partition]store.Outcome // of the newest range of each partition
	events    map[event.ID]event.Coordinates
	rejected  []event.Rejected
	appends   int
	batches   []int // events of each append
	busy      map[store.Partition]bool
	stored    int
	duplicate int

	// hook is called before each append, outside the lock; an error fails it.
	hook func(ctx context.Context, b store.Batch) error
	// after is called after an append was stored; an error loses its answer.
	after func(b store.Batch) error
	// away makes EnsureOffsets and Append fail.
	away error
	// refused makes only Append fail.
	refused error

	installation [16]byte
	logs         map[store.Partition]event.TopicID // by the topic's id in Kafka, where an admission changed it
	admissions   map[store.Partition]int64
	looks        int // reads of all positions
}

type fakeOffset struct {
	first, next int64
	epoch       int32
	absent      int64
	records     int64
	cut         *int64
}

func newFakeStore(t testing.TB) *fakeStore {
	return &fakeStore{
		t: t, admitted: map[string]event.TopicID{}, offsets: map[store.Partition]*fakeOffset{},
		logs: map[store.Partition]event.TopicID{}, admissions: map[store.Partition]int64{},
		events: map[event.ID]event.Coordinates{}, busy: map[store.Partition]bool{}, last: map[store.Partition]store.Outcome{},
	}
}

var errAway = errors.New("the database is away")

func (s *fakeStore) set(fn func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	fn()
}

func (s *fakeStore) EnsureOffsets(ctx context.Context, starts []store.PartitionStart) (map[store.Partition]store.Offset, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.asked++
	if s.away != nil {
		return nil, s.away
	}
	if s.noOffsets != nil {
		return nil, s.noOffsets
	}
	answer := map[store.Partition]store.Offset{}
	for _, p := range starts {
		if _, ok := s.admitted[p.Topic]; !ok {
			s.admitted[p.Topic] = p.TopicID
		}
		if other := s.admitted[p.Topic]; other != p.TopicID {
			answer[p.Partition] = store.Offset{Position: store.Position{NextOffset: -1, LeaderEpoch: -1, CutEnd: -1}, Recreated: other}
			continue
		}
		if s.offsets[s.log(p.Partition)] == nil {
			s.offsets[s.log(p.Partition)] = &fakeOffset{first: p.Start, next: p.Start, epoch: -1}
		}
		answer[p.Partition] = store.Offset{Position: s.position(p.Partition)}
	}
	return answer, nil
}

// log is a partition under the id that it is accounted for.
func (s *fakeStore) log(p store.Partition) store.Partition {
	if id, ok := s.logs[p]; ok {
		p.TopicID = id
	}
	return p
}

func (s *fakeStore) position(p store.Partition) store.Position {
	log := s.log(p)
	o := s.offsets[log]
	stands := store.Position{Log: log.TopicID, FirstOffset: o.first, NextOffset: o.next, LeaderEpoch: o.epoch, CutEnd: -1, Admission: s.admissions[p]}
	if o.cut != nil {
		stands.CutEnd = *o.cut
	}
	return stands
}

func (s *fakeStore) Positions(context.Context) (store.Positions, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.looks++
	if s.away != nil {
		return store.Positions{}, s.away
	}
	of := map[store.Partition]store.Position{}
	for p := range s.offsets {
		p.TopicID = s.admitted[p.Topic]
		if s.offsets[s.log(p)] != nil {
			of[p] = s.position(p)
		}
	}
	return store.NewPositions(maps.Clone(s.admitted), of), nil
}

func (s *fakeStore) RememberCut(_ context.Context, p store.Partition, end int64) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.away != nil {
		return s.away
	}
	if o := s.offsets[p]; o != nil && o.cut == nil {
		o.cut = &end
	}
	return nil
}

func (s *fakeStore) Installation(context.Context) ([16]byte, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.installation, s.away
}

// admit does what store.Admit does.
func (s *fakeStore) admit(topic string, partition int32, to int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	p := store.Partition{TopicID: s.admitted[topic], Topic: topic, Number: partition}
	o := s.offsets[s.log(p)]
	s.admissions[p]++
	if to < o.next {
		s.logs[p] = event.TopicID{0xff, byte(s.admissions[p])}
		s.offsets[s.log(p)] = &fakeOffset{first: to, next: to, epoch: -1}
		return
	}
	o.absent += to - o.next
	o.next, o.epoch, o.cut = to, -1, nil
}

func (s *fakeStore) Append(ctx context.Context, b store.Batch) (store.Receipt, error) {
	s.enter(b)
	defer s.leave(b)
	if s.hook != nil {
		if err := s.hook(ctx, b); err != nil {
			return store.Receipt{}, err
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.away != nil {
		return store.Receipt{}, s.away
	}
	if s.refused != nil {
		return store.Receipt{}, s.refused
	}
	receipt, lost := s.fence(b)
	counts := map[store.Partition]int64{}
	outcomes := map[store.Partition]*store.Outcome{}
	for _, r := range b.Ranges {
		outcomes[r.Partition] = &store.Outcome{Partition: r.Partition, Absent: r.Absent}
	}
	for _, e := range b.Events {
		c := e.Raw().Coordinates
		p := store.Partition{TopicID: c.TopicID, Topic: c.Topic, Number: c.Partition}
		counts[p]++
		if lost[p] {
			continue
		}
		if _, ok := s.events[e.Event().ID]; ok {
			receipt.Duplicates++
			outcomes[p].Duplicates++
			s.duplicate++
			continue
		}
		s.events[e.Event().ID] = c
		receipt.Stored++
		outcomes[p].Stored++
		s.stored++
	}
	for _, r := range b.Rejected {
		p := store.Partition{TopicID: r.Raw.TopicID, Topic: r.Raw.Topic, Number: r.Raw.Partition}
		counts[p]++
		if lost[p] {
			continue
		}
		s.rejected = append(s.rejected, r)
		receipt.DeadLettered++
		outcomes[p].DeadLettered++
	}
	for _, r := range b.Ranges {
		if !lost[r.Partition] {
			s.last[r.Partition] = *outcomes[r.Partition]
			receipt.Outcomes = append(receipt.Outcomes, s.last[r.Partition])
		}
	}
	s.account(b, counts, lost)
	s.appends++
	s.batches = append(s.batches, len(b.Events))
	if s.after != nil {
		if err := s.after(b); err != nil {
			return store.Receipt{}, err
		}
	}
	return receipt, nil
}

// enter checks that no partition is appended by two goroutines at a time.
func (s *fakeStore) enter(b store.Batch) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, r := range b.Ranges {
		if s.busy[r.Partition] {
			s.t.Errorf("two appends of %s/%d at a time", r.Topic, r.Number)
		}
		s.busy[r.Partition] = true
	}
}

func (s *fakeStore) leave(b store.Batch) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, r := range b.Ranges {
		delete(s.busy, r.Partition)
	}
}

func (s *fakeStore) fence(b store.Batch) (store.Receipt, map[store.Partition]bool) {
	receipt := store.Receipt{First: -1}
	lost := map[store.Partition]bool{}
	for _, r := range b.Ranges {
		o := s.offsets[r.Partition]
		switch {
		case o == nil:
			lost[r.Partition] = true
			other := s.admitted[r.Topic]
			if other == r.TopicID {
				other = event.TopicID{}
			}
			receipt.Lost = append(receipt.Lost, store.Lost{Partition: r.Partition, NextOffset: -1, Recreated: other})
		case o.next == r.From:
		case o.next == r.To:
			lost[r.Partition] = true
			receipt.Already = append(receipt.Already, r.Partition)
			receipt.Outcomes = append(receipt.Outcomes, s.last[r.Partition])
		default:
			lost[r.Partition] = true
			receipt.Lost = append(receipt.Lost, store.Lost{Partition: r.Partition, NextOffset: o.next})
		}
	}
	return receipt, lost
}

func (s *fakeStore) account(b store.Batch, counts map[store.Partition]int64, lost map[store.Partition]bool) {
	if len(b.Events) > store.MaxBatchEvents {
		s.t.Errorf("batch of %d events", len(b.Events))
	}
	if !slices.IsSortedFunc(b.Events, func(x, y protect.Sealed) int { return compareCoordinates(x.Raw().Coordinates, y.Raw().Coordinates) }) {
		s.t.Error("events are not in order of partition and offset")
	}
	for _, r := range b.Ranges {
		if r.To <= r.From || counts[r.Partition]+r.Absent != r.To-r.From {
			s.t.Errorf("%s/%d: [%d, %d) holds %d records and %d absent", r.Topic, r.Number, r.From, r.To, counts[r.Partition], r.Absent)
		}
		if lost[r.Partition] {
			continue
		}
		o := s.offsets[r.Partition]
		o.next, o.epoch = r.To, r.LeaderEpoch
		o.absent += r.Absent
		o.records += counts[r.Partition]
	}
}

func compareCoordinates(x, y event.Coordinates) int {
	if c := comparePartition(store.Partition{TopicID: x.TopicID, Number: x.Partition}, store.Partition{TopicID: y.TopicID, Number: y.Partition}); c != 0 {
		return c
	}
	return int(x.Offset - y.Offset)
}

// next is how far a partition of a topic is; -1 where it is unknown.
func (s *fakeStore) next(topic string, partition int32) int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	o := s.offsets[s.log(store.Partition{TopicID: s.admitted[topic], Topic: topic, Number: partition})]
	if o == nil {
		return -1
	}
	return o.next
}

func (s *fakeStore) absent(topic string, partition int32) int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.offsets[s.log(store.Partition{TopicID: s.admitted[topic], Topic: topic, Number: partition})].absent
}

func (s *fakeStore) count() (stored, rejected int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.events), len(s.rejected)
}

func (s *fakeStore) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	text := fmt.Sprintf("%d events, %d rejected, %d duplicates, %d appends;", len(s.events), len(s.rejected), s.duplicate, s.appends)
	for p, o := range s.offsets {
		text += fmt.Sprintf(" %s/%d: [%d, %d)", p.Topic, p.Number, o.first, o.next)
	}
	return text
}
