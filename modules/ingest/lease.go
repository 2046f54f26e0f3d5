package ingest

import (
	"sync"
	"sync/atomic"

	"audittrail/modules/event"
	"audittrail/modules/store"
	"audittrail/platform/kafka"
)

// lease is the right to read and append one partition, from its assignment until it is revoked, lost or
// repositioned. What was read under it is good as long as it has not ended.
type lease struct {
	id        store.Partition // its TopicID is the one under which the partition is accounted for
	topicID   event.TopicID   // the topic's id in Kafka
	admission int64           // the partition's latest; see store.Admission
	worker    int
	next      int64 // from of the next chunk; the poller's, once the lease has been granted

	ended atomic.Bool
	acked atomic.Int64 // offsets below are stored and accounted for
	epoch atomic.Int32 // leader epoch of the last stored record; -1 where unknown
}

func (l *lease) at() kafka.TopicPartition {
	return kafka.TopicPartition{Topic: l.id.Topic, Partition: l.id.Number}
}

// leases is who holds what. Beginning an append and ending a lease exclude each other, so that after
// end has returned no new append of the partition begins.
type leases struct {
	workers int

	mu       sync.Mutex
	halted   bool                              // no lease stands, and none that is granted will
	assigned map[kafka.TopicPartition]struct{} // by the group, whether it could be granted or not
	held     map[kafka.TopicPartition]*lease
	inFlight map[*flight]struct{}
}

// flight is one try of an append.
type flight struct {
	worker int
	of     map[kafka.TopicPartition]struct{}
	landed chan struct{} // closed when the try is over, however it went
}

func newLeases(workers int) *leases {
	return &leases{
		workers:  workers,
		assigned: map[kafka.TopicPartition]struct{}{},
		held:     map[kafka.TopicPartition]*lease{},
		inFlight: map[*flight]struct{}{},
	}
}

// assign notes partitions that the group has assigned.
func (s *leases) assign(partitions []kafka.TopicPartition) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, at := range partitions {
		s.assigned[at] = struct{}{}
	}
}

// topics are those of which a partition is assigned.
func (s *leases) topics() map[string]bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	topics := map[string]bool{}
	for at := range s.assigned {
		topics[at.Topic] = true
	}
	return topics
}

// numbers returns the partitions of a topic that are assigned.
func (s *leases) numbers(topic string) []int32 {
	s.mu.Lock()
	defer s.mu.Unlock()
	var numbers []int32
	for at := range s.assigned {
		if at.Topic == topic {
			numbers = append(numbers, at.Partition)
		}
	}
	return numbers
}

// grant begins a lease at an offset. One that there was ends. of.TopicID is the topic's id in Kafka.
func (s *leases) grant(of store.Partition, from store.Position) *lease {
	s.mu.Lock()
	defer s.mu.Unlock()
	l := &lease{id: of, topicID: of.TopicID, admission: from.Admission, next: from.NextOffset}
	l.id.TopicID = from.Log
	l.acked.Store(from.NextOffset)
	l.epoch.Store(from.LeaderEpoch)
	l.ended.Store(s.halted)
	at := l.at()
	if before := s.held[at]; before != nil {
		before.ended.Store(true)
	}
	delete(s.held, at)
	l.worker = s.chooseWorker(at)
	s.held[at] = l
	return l
}

// chooseWorker spreads partitions evenly. While an append of an earlier lease is still in flight the
// partition stays with that worker: store forbids two appends of one partition at a time.
func (s *leases) chooseWorker(at kafka.TopicPartition) int {
	for f := range s.inFlight {
		if _, ok := f.of[at]; ok {
			return f.worker
		}
	}
	load := make([]int, s.workers)
	for _, l := range s.held {
		load[l.worker]++
	}
	least := 0
	for w := range load {
		if load[w] < load[least] {
			least = w
		}
	}
	return least
}

// of is the lease that was granted last for a partition that has not been given up; nil where there is
// none. It may have been suspended.
func (s *leases) of(at kafka.TopicPartition) *lease {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.held[at]
}

// all are the leases that are held.
func (s *leases) all() []*lease {
	s.mu.Lock()
	defer s.mu.Unlock()
	list := make([]*lease, 0, len(s.held))
	for _, l := range s.held {
		list = append(list, l)
	}
	return list
}

// suspend ends a lease but remembers it, so that the partition can be granted anew if it has not been
// given up meanwhile; false where the lease does not hold the partition any more.
func (s *leases) suspend(l *lease) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	l.ended.Store(true)
	return s.held[l.at()] == l
}

// halt suspends all leases, those that are granted later too. It returns false where that was so before.
func (s *leases) halt() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.halted {
		return false
	}
	s.halted = true
	for _, l := range s.held {
		l.ended.Store(true)
	}
	return true
}

// goOn undoes halt, and returns the leases that are held: each has to be granted anew. ok is false where nothing
// was halted.
func (s *leases) goOn() (held []*lease, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.halted {
		return nil, false
	}
	s.halted = false
	for _, l := range s.held {
		held = append(held, l)
	}
	return held, true
}

func (s *leases) areHalted() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.halted
}

// end ends the leases of the partitions, and answers the appends that are in flight with any of them.
func (s *leases) end(partitions []kafka.TopicPartition) []*flight {
	s.mu.Lock()
	defer s.mu.Unlock()
	var flying []*flight
	for _, at := range partitions {
		delete(s.assigned, at)
		if l := s.held[at]; l != nil {
			l.ended.Store(true)
			delete(s.held, at)
		}
	}
	for f := range s.inFlight {
		for _, at := range partitions {
			if _, ok := f.of[at]; ok {
				flying = append(flying, f)
				break
			}
		}
	}
	return flying
}

// takeOff begins a try of an append with those of the chunks whose lease still stands. The caller MUST
// call land.
func (s *leases) takeOff(worker int, chunks []*chunk) (*flight, []*chunk) {
	s.mu.Lock()
	defer s.mu.Unlock()
	f := &flight{worker: worker, of: map[kafka.TopicPartition]struct{}{}, landed: make(chan struct{})}
	standing := make([]*chunk, 0, len(chunks))
	for _, c := range chunks {
		if !c.lease.ended.Load() {
			standing = append(standing, c)
			f.of[c.lease.at()] = struct{}{}
		}
	}
	s.inFlight[f] = struct{}{}
	return f, standing
}

func (s *leases) land(f *flight) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.inFlight, f)
	close(f.landed)
}
