package kafka

import (
	"context"
	"errors"
	"fmt"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// MaxTopicLength is Kafka's own bound on the name of a topic, in characters, which are all ASCII.
const MaxTopicLength = 249

// TopicPartition names a partition of a topic.
type TopicPartition struct {
	Topic     string
	Partition int32
}

// Topic is what the cluster says of a topic now.
type Topic struct {
	ID         [16]byte // changes when a topic is deleted and made again (KIP-516)
	Partitions int
	Err        error // e.g. kerr.UnknownTopicOrPartition; the other fields mean nothing then
}

// ErrNoTopicIDs says that the cluster is too old: coordinates can't be told from those of an earlier
// topic of the same name.
var ErrNoTopicIDs = errors.New("the cluster gives topics no ids: Kafka 2.8 or later is needed")

// Topics asks the cluster about topics, passing the client's cache by: a topic that was made again has
// another id under the same name. Every name has an entry in the answer.
func Topics(ctx context.Context, client *kgo.Client, names []string) (map[string]Topic, error) {
	req := kmsg.NewPtrMetadataRequest()
	for _, name := range names {
		t := kmsg.NewMetadataRequestTopic()
		t.Topic = kmsg.StringPtr(name)
		req.Topics = append(req.Topics, t)
	}
	if len(names) == 0 {
		return map[string]Topic{}, nil // no topics in the request would mean all of them
	}
	resp, err := req.RequestWith(ctx, client)
	if err != nil {
		return nil, fmt.Errorf("ask for topic metadata: %w", err)
	}
	topics := make(map[string]Topic, len(names))
	for _, t := range resp.Topics {
		if t.Topic == nil {
			continue
		}
		topic := Topic{ID: t.TopicID, Partitions: len(t.Partitions), Err: kerr.ErrorForCode(t.ErrorCode)}
		if topic.Err == nil && topic.ID == [16]byte{} {
			return nil, ErrNoTopicIDs
		}
		topics[*t.Topic] = topic
	}
	for _, name := range names {
		if _, ok := topics[name]; !ok {
			topics[name] = Topic{Err: kerr.UnknownTopicOrPartition}
		}
	}
	return topics, nil
}

// Bounds are where a partition's log begins and ends: the offsets [Start, End) may hold records.
type Bounds struct {
	Start int64
	End   int64 // the high watermark
}

// Timestamps with a meaning of their own in a ListOffsets request.
const (
	latest   = -1
	earliest = -2
)

// LogBounds asks the partitions' leaders for both ends of their logs. It answers for all of them or
// with an error.
func LogBounds(ctx context.Context, client *kgo.Client, of []TopicPartition) (map[TopicPartition]Bounds, error) {
	starts, err := listOffsets(ctx, client, of, earliest)
	if err != nil {
		return nil, fmt.Errorf("list log start offsets: %w", err)
	}
	ends, err := LogEnds(ctx, client, of)
	if err != nil {
		return nil, err
	}
	bounds := make(map[TopicPartition]Bounds, len(of))
	for _, tp := range of {
		bounds[tp] = Bounds{Start: starts[tp], End: ends[tp]}
	}
	return bounds, nil
}

// LogEnds asks the partitions' leaders for their high watermarks. It answers for all of them or with an
// error.
func LogEnds(ctx context.Context, client *kgo.Client, of []TopicPartition) (map[TopicPartition]int64, error) {
	ends, err := listOffsets(ctx, client, of, latest)
	if err != nil {
		return nil, fmt.Errorf("list log end offsets: %w", err)
	}
	return ends, nil
}

// SomeLogEnds asks the partitions' leaders for their high watermarks, and leaves out the partitions that can't say,
// e.g. since they have no leader.
func SomeLogEnds(ctx context.Context, client *kgo.Client, of []TopicPartition) (map[TopicPartition]int64, error) {
	ends, _, err := askOffsets(ctx, client, of, latest)
	if err != nil {
		return nil, fmt.Errorf("list log end offsets: %w", err)
	}
	return ends, nil
}

// SomeLogStarts asks the partitions' leaders where their logs begin, and leaves out the partitions that can't say.
func SomeLogStarts(ctx context.Context, client *kgo.Client, of []TopicPartition) (map[TopicPartition]int64, error) {
	starts, _, err := askOffsets(ctx, client, of, earliest)
	if err != nil {
		return nil, fmt.Errorf("list log start offsets: %w", err)
	}
	return starts, nil
}

func listOffsets(ctx context.Context, client *kgo.Client, of []TopicPartition, timestamp int64) (map[TopicPartition]int64, error) {
	answer, refused, err := askOffsets(ctx, client, of, timestamp)
	if err == nil {
		err = refused
	}
	if err != nil {
		return nil, err
	}
	for _, tp := range of {
		if _, ok := answer[tp]; !ok {
			return nil, fmt.Errorf("%s/%d: the cluster did not answer", tp.Topic, tp.Partition)
		}
	}
	return answer, nil
}

// askOffsets answers for the partitions that could say. refused is what one of the others said.
func askOffsets(ctx context.Context, client *kgo.Client, of []TopicPartition, timestamp int64) (answer map[TopicPartition]int64, refused, err error) {
	answer = make(map[TopicPartition]int64, len(of))
	if len(of) == 0 {
		return answer, nil, nil
	}
	// The client splits the request by leader, and puts the answers together again.
	resp, err := listOffsetsRequest(of, timestamp).RequestWith(ctx, client)
	if err != nil {
		return nil, nil, err
	}
	for _, t := range resp.Topics {
		for _, p := range t.Partitions {
			if err := kerr.ErrorForCode(p.ErrorCode); err != nil {
				refused = fmt.Errorf("%s/%d: %w", t.Topic, p.Partition, err)
			} else if p.Offset >= 0 {
				answer[TopicPartition{t.Topic, p.Partition}] = p.Offset
			}
		}
	}
	return answer, refused, nil
}

func listOffsetsRequest(of []TopicPartition, timestamp int64) *kmsg.ListOffsetsRequest {
	req := kmsg.NewPtrListOffsetsRequest()
	req.ReplicaID = -1
	at := make(map[string]int)
	for _, tp := range of {
		i, ok := at[tp.Topic]
		if !ok {
			i = len(req.Topics)
			at[tp.Topic] = i
			t := kmsg.NewListOffsetsRequestTopic()
			t.Topic = tp.Topic
			req.Topics = append(req.Topics, t)
		}
		p := kmsg.NewListOffsetsRequestTopicPartition()
		p.Partition = tp.Partition
		p.Timestamp = timestamp
		req.Topics[i].Partitions = append(req.Topics[i].Partitions, p)
	}
	return req
}
