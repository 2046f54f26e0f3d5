package ingest

import (
	"errors"
	"fmt"
	"sort"
	"sync"
	"time"

	"audittrail/platform/kafka"
)

// wholeTopic is the partition under which a stop of all of a topic is kept.
const wholeTopic int32 = -1

// status is what readiness tells: why the role can't do its work right now, if so.
type status struct {
	now func() time.Time

	mu      sync.Mutex
	stopped map[kafka.TopicPartition]string
	trouble map[string]trouble // by what has it
	missing []string           // topics that the cluster does not know
}

type trouble struct {
	since time.Time
	err   error
}

// What can have trouble.
const (
	troubleStore   = "append"
	troubleOffsets = "find out where to begin"
	troubleFetch   = "fetch"
	troubleKeys    = "seal"
	troubleGroup   = "join the consumer group"

	troubleStranger = "have the consumer group for this installation alone"
)

func newStatus(now func() time.Time) *status {
	return &status{now: now, stopped: map[kafka.TopicPartition]string{}, trouble: map[string]trouble{}}
}

// has notes that something fails, and answers for how long it has. A nil error clears it, and answers
// how long it had failed.
func (s *status) has(what string, err error) (lasting time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	before, was := s.trouble[what]
	if was {
		lasting = s.now().Sub(before.since)
	}
	if err == nil {
		delete(s.trouble, what)
		return lasting
	}
	if !was {
		before.since = s.now()
	}
	s.trouble[what] = trouble{since: before.since, err: err}
	return lasting
}

// stop notes that a partition is not read any more; false where it was stopped before.
func (s *status) stop(at kafka.TopicPartition, why string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, ok := s.stopped[at]; ok {
		return false
	}
	s.stopped[at] = why
	return true
}

// restart forgets why a partition was stopped: it has been assigned anew.
func (s *status) restart(at kafka.TopicPartition) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.stopped, at)
}

// isStopped tells whether a partition, or its whole topic, is stopped.
func (s *status) isStopped(at kafka.TopicPartition) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	_, one := s.stopped[at]
	_, all := s.stopped[kafka.TopicPartition{Topic: at.Topic, Partition: wholeTopic}]
	return one || all
}

// err is all that is wrong; nil when nothing is. Dead letters that can't be published are no reason to
// say that ingest does not work: they are kept, and the log and dead_letters_pending tell of them.
func (s *status) err() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	var errs []error
	for at, why := range s.stopped {
		if at.Partition == wholeTopic {
			errs = append(errs, fmt.Errorf("topic %s is stopped: %s", at.Topic, why))
			continue
		}
		errs = append(errs, fmt.Errorf("partition %s/%d is stopped: %s", at.Topic, at.Partition, why))
	}
	for what, t := range s.trouble {
		errs = append(errs, fmt.Errorf("%s: failing for %v: %w", what, s.now().Sub(t.since).Round(time.Second), t.err))
	}
	sort.Slice(errs, func(i, j int) bool { return errs[i].Error() < errs[j].Error() })
	return errors.Join(errs...)
}

// restartTopics forgets why topics were stopped.
func (s *status) restartTopics(which func(topic string) bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for at := range s.stopped {
		if at.Partition == wholeTopic && which(at.Topic) {
			delete(s.stopped, at)
		}
	}
}

// reset forgets all stops: another session begins.
func (s *status) reset() {
	s.mu.Lock()
	defer s.mu.Unlock()
	clear(s.stopped)
}

// isMissing notes the topics that the cluster does not know.
func (s *status) isMissing(topics []string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.missing = topics
}

// notes are what an operator should know, and what keeps nothing from working.
func (s *status) notes() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	var notes []string
	for _, topic := range s.missing {
		notes = append(notes, "topic "+topic+" does not exist in Kafka: it is read once somebody has made it")
	}
	return notes
}
