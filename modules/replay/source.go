package replay

import (
	"context"
	"crypto/sha256"
	"errors"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"audittrail/modules/event"
	"audittrail/modules/store"
	"audittrail/platform/errs"
	"audittrail/platform/kafka"
)

// sourcePatience is how long Kafka may take to answer.
const sourcePatience = 10 * time.Second

// Source reads records again from where ingest has read them: those that were too large to be kept. It is safe for
// concurrent use, and connects when it is first asked.
type Source struct {
	options kafka.Options
	log     *slog.Logger

	mu     sync.Mutex
	client *kgo.Client
}

// NewSource makes a Source.
func NewSource(o kafka.Options, log *slog.Logger) *Source { return &Source{options: o, log: log} }

// Close ends the connection.
func (s *Source) Close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.client != nil {
		s.client.Close()
		s.client = nil
	}
}

func (s *Source) connect() (*kgo.Client, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.client != nil {
		return s.client, nil
	}
	client, err := kafka.NewClient(s.options, "redrive", s.log, nil, kgo.RequestRetries(2), kgo.RetryTimeout(sourcePatience/2))
	s.client = client
	return client, err
}

// Read returns a letter's record with its whole value. A record that is not the letter's, by length and hash, is none:
// the topic may have been made again.
func (s *Source) Read(ctx context.Context, letter *store.DeadLetter, maxBytes int) (event.Raw, *event.Rejected) {
	raw := event.Raw{Coordinates: letter.Raw.Coordinates, Time: letter.Raw.Time}
	failed := func(reason event.Reason, detail string) (event.Raw, *event.Rejected) {
		return event.Raw{}, &event.Rejected{Raw: letter.Raw, Reason: reason, Detail: detail}
	}
	record, err := s.fetch(ctx, letter, maxBytes)
	switch {
	case errors.Is(err, kerr.OffsetOutOfRange), errors.Is(err, kerr.UnknownTopicOrPartition), errors.Is(err, kafka.ErrUnpackable):
		return failed(valueNotKept, "Kafka does not have the record any more")
	case err != nil:
		s.log.WarnContext(ctx, "a record can't be read again", "error", err)
		return failed(kafkaUnavailable, "Kafka did not answer: try again")
	case record == nil:
		return failed(valueNotKept, "Kafka does not have the record any more")
	case record.Oversize != nil && record.Oversize.ValueLength == letter.ValueLength && string(record.Oversize.ValueSHA256[:]) == string(letter.ValueSHA256):
		return failed(event.TooLarge, record.Oversize.String())
	case record.Oversize != nil || !isLetters(record.Value, letter):
		return failed(valueNotKept, "Kafka has another record at its place")
	}
	raw.Key, raw.Value = record.Key, record.Value
	for _, h := range record.Headers {
		raw.Headers = append(raw.Headers, event.Header{Key: h.Key, Value: h.Value})
	}
	return raw, nil
}

func (s *Source) fetch(ctx context.Context, letter *store.DeadLetter, maxBytes int) (*kafka.Record, error) {
	client, err := s.connect()
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, sourcePatience)
	defer cancel()
	topic := letter.Raw.Topic
	topics, err := kafka.Topics(ctx, client, []string{topic})
	if err != nil {
		return nil, err
	}
	if err := topics[topic].Err; err != nil {
		return nil, err
	}
	at := kafka.TopicPartition{Topic: topic, Partition: letter.Raw.Partition}
	batch, err := kafka.FetchBatch(ctx, client, topics[topic].ID, at, letter.Raw.Offset)
	if err != nil {
		return nil, err
	}
	if batch.Control || batch.Aborted || batch.First > letter.Raw.Offset {
		return nil, nil
	}
	var found *kafka.Record
	err = batch.Each(letter.Raw.Offset, kafka.RecordLimits{Part: maxBytes, Kept: event.OversizeKept}, func(r kafka.Record) error {
		if r.Offset == letter.Raw.Offset {
			found = &r
		}
		return errFound
	})
	if errors.Is(err, errFound) {
		err = nil
	}
	return found, err
}

// isLetters reports whether a value is that of a letter of which only length and hash are kept.
func isLetters(value []byte, letter *store.DeadLetter) bool {
	sum := sha256.Sum256(value)
	return int64(len(value)) == letter.ValueLength && string(sum[:]) == string(letter.ValueSHA256)
}

var errFound = errors.New("the record was found")

// Kept is an error where Kafka's log no longer reaches back to a letter whose value is not kept. It is nil where Kafka
// does not answer: the redrive will tell.
func (s *Source) Kept(ctx context.Context, letters []store.DeadLetter) error {
	letters = slices.DeleteFunc(slices.Clone(letters), func(d store.DeadLetter) bool { return d.Reason != event.TooLarge })
	if len(letters) == 0 {
		return nil
	}
	client, err := s.connect()
	if err != nil {
		return nil // the redrive will tell
	}
	ctx, cancel := context.WithTimeout(ctx, sourcePatience/2)
	defer cancel()
	names, partitions := map[string]bool{}, map[kafka.TopicPartition]bool{}
	for _, d := range letters {
		names[d.Raw.Topic], partitions[kafka.TopicPartition{Topic: d.Raw.Topic, Partition: d.Raw.Partition}] = true, true
	}
	topics, err := kafka.Topics(ctx, client, slices.Collect(maps.Keys(names)))
	if err != nil {
		return nil // as above
	}
	maps.DeleteFunc(partitions, func(p kafka.TopicPartition, _ bool) bool { return topics[p.Topic].Err != nil })
	starts, _ := kafka.SomeLogStarts(ctx, client, slices.Collect(maps.Keys(partitions)))
	for _, d := range letters {
		start, known := starts[kafka.TopicPartition{Topic: d.Raw.Topic, Partition: d.Raw.Partition}]
		if errors.Is(topics[d.Raw.Topic].Err, kerr.UnknownTopicOrPartition) || known && start > d.Raw.Offset {
			return errs.New(errs.Conflict, string(valueNotKept), "Kafka does not have the value of dead letter %d any more", d.ID).InField("ids")
		}
	}
	return nil
}
