package ingest

import (
	"context"
	"errors"
	"log/slog"
	"maps"
	"slices"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"audittrail/modules/event"
	"audittrail/modules/store"
	"audittrail/platform/kafka"
)

// surveyor compares, again and again, what this process believes with what Kafka and the event store say. Both may
// change without a word: a standby that lacks commits is promoted, a log is cut, a topic is made again, an operator
// admits something. One goroutine uses it.
type surveyor struct {
	control  *kgo.Client
	consumer *kgo.Client // for the topics that its patterns have found
	store    Store
	leases   *leases
	stops    *stops
	inbox    *inbox
	leftOut  *leftOut
	status   *status
	metrics  *metrics
	named    []string // topics of the configuration that are no patterns
	now      func() time.Time
	log      *slog.Logger
	again    func(why string)

	known      store.Positions               // as they were read last
	short      map[*lease]bool               // whose logs ended too early at the last look
	lagOf      map[kafka.TopicPartition]bool // that the metric has
	complained map[string]time.Time          // about a topic that is missing
}

func (s *surveyor) look(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	acked := s.acked() // before the positions: an append in between must not look like a loss
	positions, err := s.store.Positions(ctx)
	if err == nil {
		s.known = positions
		s.compare(acked)
	} else if ctx.Err() == nil {
		s.log.Debug("could not read positions", "error", err)
	}
	topics, err := s.topics(ctx)
	if err != nil {
		s.log.Debug("could not ask about topics", "error", err)
		return
	}
	s.noteMissing(topics)
	s.identify(topics)
	s.measureLag(ctx, topics)
}

// acked is how far each lease is.
func (s *surveyor) acked() map[*lease]int64 {
	acked := map[*lease]int64{}
	for _, l := range s.leases.all() {
		acked[l] = l.acked.Load()
	}
	return acked
}

// compare begins partitions anew that the event store has elsewhere: before what was acknowledged to us, or where
// an operator put them.
func (s *surveyor) compare(acked map[*lease]int64) {
	for l, next := range acked {
		at := l.at()
		if l.ended.Load() && !s.status.isStopped(at) {
			continue // about to begin anew
		}
		stands, ok := s.known.Of(store.Partition{TopicID: l.topicID, Topic: at.Topic, Number: at.Partition})
		if ok && stands.Log == l.id.TopicID && stands.Admission == l.admission && stands.NextOffset >= next {
			if stands.CutEnd >= 0 && !s.status.isStopped(at) {
				s.stops.sawCut(l, stands.CutEnd) // another process saw it
			}
			continue
		}
		if admitted, ok := s.known.Admitted[at.Topic]; ok && admitted != l.topicID || s.leases.areHalted() {
			continue // the whole topic waits, or everything
		}
		if !s.leases.suspend(l) {
			continue
		}
		s.log.Warn("the event store has a partition elsewhere: going on where it says", "topic", at.Topic, "partition", at.Partition, "stored", next, "nextOffset", stands.NextOffset)
		s.stops.restart(at)
		s.inbox.put(reposition{lease: l})
	}
}

// topics asks the cluster about all topics that are to be ingested.
func (s *surveyor) topics(ctx context.Context) (map[string]kafka.Topic, error) {
	names := s.leases.topics()
	for _, topic := range s.named {
		names[topic] = true
	}
	for _, topic := range s.consumer.GetConsumeTopics() { // also those that patterns have found
		names[topic] = true
	}
	return kafka.Topics(ctx, s.control, slices.Sorted(maps.Keys(names)))
}

// noteMissing tells of topics that are named, and that the cluster does not know.
func (s *surveyor) noteMissing(topics map[string]kafka.Topic) {
	var missing []string
	for _, topic := range s.named {
		gone := errors.Is(topics[topic].Err, kerr.UnknownTopicOrPartition)
		s.metrics.missing.WithLabelValues(topic).Set(map[bool]float64{true: 1}[gone])
		if !gone {
			delete(s.complained, topic)
			continue
		}
		missing = append(missing, topic)
		if s.now().Sub(s.complained[topic]) >= remindEvery {
			s.complained[topic] = s.now()
			s.log.Warn("the cluster does not know a topic that is to be ingested; waiting for it", "topic", topic)
		}
	}
	s.status.isMissing(missing)
}

// identify stops topics that were deleted and made again: their offsets mean other records now, and the client goes
// on asking for the old ones. Once an operator has admitted the new one, or a topic is there again, the client has
// to begin anew.
func (s *surveyor) identify(topics map[string]kafka.Topic) {
	for _, l := range s.leases.all() {
		t, topic := topics[l.id.Topic], l.id.Topic
		if t.Err == nil && t.ID != [16]byte{} && l.topicID != t.ID && !s.status.isStopped(l.at()) && !s.leases.areHalted() {
			s.inbox.put(topicStop{topic: topic, why: recreated(topic, t.ID, l.topicID)})
		}
	}
	for topic, t := range topics {
		if t.Err != nil {
			continue
		}
		at := kafka.TopicPartition{Topic: topic, Partition: wholeTopic}
		admitted := s.known.Admitted[topic] == event.TopicID(t.ID) && s.status.isStopped(at)
		if admitted || s.leftOut.has(topic) {
			s.again("topic " + topic + " can be read again")
			return
		}
	}
}

// measureLag compares the ends of the logs with what is stored, of the partitions of all processes.
func (s *surveyor) measureLag(ctx context.Context, topics map[string]kafka.Topic) {
	if s.known.Admitted == nil {
		return // never read
	}
	var all, unseen []kafka.TopicPartition
	next := map[kafka.TopicPartition]int64{}
	for topic, t := range topics {
		for n := range t.Partitions {
			at := kafka.TopicPartition{Topic: topic, Partition: int32(n)}
			all = append(all, at)
			stands, ok := s.known.Of(store.Partition{TopicID: t.ID, Topic: topic, Number: at.Partition})
			if next[at] = stands.NextOffset; !ok {
				unseen = append(unseen, at)
			}
		}
	}
	starts, err := kafka.SomeLogStarts(ctx, s.control, unseen)
	if err == nil {
		maps.Copy(next, starts)
		var ends map[kafka.TopicPartition]int64
		if ends, err = kafka.SomeLogEnds(ctx, s.control, all); err == nil {
			s.showLag(all, ends, next)
			s.lookForCuts(ends)
		}
	}
	if err != nil {
		s.log.Debug("could not measure the lag", "error", err)
	}
}

func (s *surveyor) showLag(all []kafka.TopicPartition, ends, next map[kafka.TopicPartition]int64) {
	shown := map[kafka.TopicPartition]bool{}
	for _, at := range all {
		shown[at] = true
		if end, ok := ends[at]; ok {
			s.metrics.setLag(at, end, next[at])
		}
	}
	for at := range s.lagOf {
		if !shown[at] {
			s.metrics.dropLag(at)
		}
	}
	s.lagOf = shown
}

// lookForCuts looks for logs that end before what is stored. One look is not enough to stop a partition: a new
// leader may not know at once how far its log goes.
func (s *surveyor) lookForCuts(ends map[kafka.TopicPartition]int64) {
	short := map[*lease]bool{}
	for _, l := range s.leases.all() {
		end, ok := ends[l.at()]
		stands, known := s.known.Of(store.Partition{TopicID: l.topicID, Topic: l.id.Topic, Number: l.id.Number})
		if l.ended.Load() || !ok || !known || stands.Log != l.id.TopicID || end >= stands.NextOffset {
			continue
		}
		if s.short[l] {
			s.stops.sawCut(l, end)
		}
		short[l] = true
	}
	s.short = short
}
