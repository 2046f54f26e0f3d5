package replay

import (
	"context"
	"errors"
	"log/slog"
	"strconv"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"audittrail/modules/event"
	"audittrail/platform/kafka"
)

// The headers of a replayed record.
const (
	headerReplay   = "audittrail-replay-id"
	headerEvent    = "audittrail-event-id"
	headerPosition = "audittrail-position"
)

const (
	kafkaTimeout = 30 * time.Second // of a transaction
	abortTimeout = 2 * time.Second  // of giving one up
	// recordOverhead is what Kafka's forms may add to a key and a value.
	recordOverhead = 1 << 10
	// defaultMaxMessage is Kafka's own, for a topic that does not tell.
	defaultMaxMessage = 1 << 20
)

// kafkaSender writes to a topic, a transaction each time. The transactional id is the job's, so that Kafka fences off
// whoever worked at it before: two never write at once.
type kafkaSender struct {
	client *kgo.Client
	topic  string
	replay string
	most   int // bytes that a record may have
	limit  int // bytes that ingest takes
}

func openKafka(ctx context.Context, o kafka.Options, d destination, replay string, ingestLimit int, log *slog.Logger) (sender, error) {
	plain, err := kafka.NewClient(o, "replay_look", log, nil)
	if err != nil {
		return nil, err
	}
	defer plain.Close()
	bounded, cancel := context.WithTimeout(ctx, kafkaTimeout)
	defer cancel()
	topics, err := kafka.Topics(bounded, plain, []string{d.topic})
	if err != nil {
		return nil, &obstacle{"Kafka does not answer", err}
	}
	switch err := topics[d.topic].Err; {
	case errors.Is(err, kerr.UnknownTopicOrPartition):
		return nil, &fatal{"the topic does not exist", err}
	case errors.Is(err, kerr.TopicAuthorizationFailed):
		return nil, &fatal{notAllowed, err}
	case err != nil:
		return nil, &obstacle{"Kafka does not tell about the topic", err}
	}
	s := &kafkaSender{topic: d.topic, replay: replay, most: maxMessageBytes(bounded, plain, d.topic), limit: ingestLimit}
	s.client, err = kafka.NewClient(o, "replay", log, nil,
		kgo.TransactionalID("audittrail-replay-"+replay), kgo.TransactionTimeout(kafkaTimeout),
		kgo.RecordPartitioner(kgo.StickyKeyPartitioner(nil)), kgo.ProducerBatchMaxBytes(int32(s.most)),
		kgo.MaxBufferedRecords(maxChunk+1), kgo.ProducerLinger(0))
	return s, err
}

// maxMessageBytes is the largest record that a topic takes.
func maxMessageBytes(ctx context.Context, client *kgo.Client, topic string) int {
	configs, err := kadm.NewClient(client).DescribeTopicConfigs(ctx, topic)
	if err != nil {
		return defaultMaxMessage
	}
	if config, err := configs.On(topic, nil); err == nil && config.Err == nil {
		for _, c := range config.Configs {
			if n, err := strconv.ParseInt(c.MaybeValue(), 10, 32); c.Key == "max.message.bytes" && err == nil && n > 2*recordOverhead {
				return int(min(n, 64<<20))
			}
		}
	}
	return defaultMaxMessage
}

// send sends all that fits in one transaction. After an error the client can't be used any more.
func (s *kafkaSender) send(ctx context.Context, events []event.Stored) ([]outcome, error) {
	outcomes := make([]outcome, len(events))
	var records []*kgo.Record
	blocked := map[aggregate]bool{}
	for i := range events {
		r := s.record(&events[i])
		switch {
		case blocked[aggregateOf(&events[i])]:
			outcomes[i] = outcome{status: waiting}
		case len(r.Key)+len(r.Value)+recordOverhead > s.most:
			blocked[aggregateOf(&events[i])] = true
			outcomes[i] = outcome{failed, 1, "is larger than the topic takes (max.message.bytes)"}
		default:
			records = append(records, r)
			outcomes[i] = outcome{status: sent}
		}
	}
	if len(records) == 0 {
		return outcomes, nil
	}
	if err := s.commit(ctx, records); err != nil {
		return nil, err
	}
	return outcomes, nil
}

func (s *kafkaSender) commit(ctx context.Context, records []*kgo.Record) error {
	ctx, cancel := context.WithTimeout(ctx, kafkaTimeout)
	defer cancel()
	if err := s.client.BeginTransaction(); err != nil {
		return kafkaError(err)
	}
	err := s.client.ProduceSync(ctx, records...).FirstErr()
	if err == nil {
		err = s.client.EndTransaction(ctx, kgo.TryCommit)
	} else {
		abort, stop := context.WithTimeout(context.WithoutCancel(ctx), abortTimeout)
		defer stop()
		_ = s.client.EndTransaction(abort, kgo.TryAbort) // what fails here is given up with the client
	}
	return kafkaError(err)
}

const notAllowed = "Kafka does not allow to write to the topic, or to use the transactional id audittrail-replay-<id>"

// kafkaError tells what another try helps against.
func kafkaError(err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, kerr.TopicAuthorizationFailed), errors.Is(err, kerr.TransactionalIDAuthorizationFailed), errors.Is(err, kerr.ClusterAuthorizationFailed):
		return &fatal{notAllowed, err}
	}
	return &obstacle{"Kafka does not take the events right now", err}
}

// record is the event as a Kafka record: its timestamp is the time of sending, since retention goes by it.
//
// A trace id that came in a header once made the record no longer; in its value it would. So where the value is longer
// than ingest takes, the trace id travels as a header again.
func (s *kafkaSender) record(e *event.Stored) *kgo.Record {
	r := &kgo.Record{
		Topic: s.topic, Key: []byte(e.AggregateID), Value: record(nil, e),
		Headers: []kgo.RecordHeader{
			{Key: headerReplay, Value: []byte(s.replay)},
			{Key: headerEvent, Value: []byte(e.ID.String())},
			{Key: headerPosition, Value: strconv.AppendInt(nil, e.Position, 10)},
		},
	}
	if len(r.Value) > s.limit {
		if trace, ok := e.TraceParent(); ok {
			r.Value = record(nil, e, "traceId")
			r.Headers = append(r.Headers, kgo.RecordHeader{Key: "traceparent", Value: trace})
		}
	}
	return r
}

func (s *kafkaSender) finish(context.Context) error { return nil }

func (s *kafkaSender) close() { s.client.Close() }
