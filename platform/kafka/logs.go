package kafka

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
)

// Log is a partition's log: the offsets [Start, End) may hold records.
type Log struct {
	TopicPartition
	ID [16]byte // of the topic
	Bounds
}

// Logs are the logs of some topics, as far as the cluster can say.
type Logs struct {
	All     []Log    // sorted by topic and partition
	Missing []string // topics that the cluster does not have
	Unknown []string // topics and partitions that it could not answer for, and why
}

// TopicNames lists the cluster's topics that are wanted, its internal ones left out.
func TopicNames(ctx context.Context, client *kgo.Client, wanted func(name string) bool) ([]string, error) {
	topics, err := kadm.NewClient(client).ListTopics(ctx)
	if err != nil {
		return nil, fmt.Errorf("list topics: %w", err)
	}
	return slices.DeleteFunc(topics.Names(), func(name string) bool { return !wanted(name) }), nil
}

// ReadLogStarts answers the partitions of topics, and where their logs begin; their End is 0. It fails where
// no broker answers.
func ReadLogStarts(ctx context.Context, client *kgo.Client, names []string) (Logs, error) {
	var logs Logs
	if err := client.Ping(ctx); err != nil {
		return logs, fmt.Errorf("no broker answers: %w", err)
	}
	if len(names) == 0 {
		return logs, nil // no topics in a request would mean all of them
	}
	topics, err := Topics(ctx, client, names)
	if err != nil {
		return logs, err
	}
	starts, err := kadm.NewClient(client).ListStartOffsets(ctx, names...)
	if err != nil && len(starts) == 0 {
		return logs, fmt.Errorf("list log start offsets: %w", err)
	}
	for _, name := range slices.Sorted(maps.Keys(topics)) {
		topic := topics[name]
		switch {
		case errors.Is(topic.Err, kerr.UnknownTopicOrPartition):
			logs.Missing = append(logs.Missing, name)
			continue
		case topic.Err != nil:
			logs.Unknown = append(logs.Unknown, fmt.Sprintf("%s: %v", name, topic.Err))
			continue
		}
		for p := range int32(topic.Partitions) {
			start, ok := starts.Lookup(name, p)
			if logs.answers(name, p, start, ok) {
				logs.All = append(logs.All, Log{TopicPartition{name, p}, topic.ID, Bounds{Start: start.Offset}})
			}
		}
	}
	return logs, nil
}

// answers reports whether the cluster answered for a partition, and notes it where it did not.
func (l *Logs) answers(topic string, partition int32, o kadm.ListedOffset, ok bool) bool {
	switch {
	case ok && o.Err != nil:
		l.Unknown = append(l.Unknown, fmt.Sprintf("%s/%d: %v", topic, partition, o.Err))
	case !ok || o.Offset < 0:
		l.Unknown = append(l.Unknown, fmt.Sprintf("%s/%d: its leader did not answer", topic, partition))
	default:
		return true
	}
	return false
}

// ReadLogEnds fills in where the logs end: their high watermarks. A log that the cluster can't answer for any
// more leaves All, and so does one whose topic was made again meanwhile: its Start is another log's.
func (l *Logs) ReadLogEnds(ctx context.Context, client *kgo.Client) error {
	if len(l.All) == 0 {
		return nil
	}
	var names []string
	for _, log := range l.All {
		names = append(names, log.Topic)
	}
	names = slices.Compact(names)
	topics, err := Topics(ctx, client, names)
	if err != nil {
		return err
	}
	ends, err := kadm.NewClient(client).ListEndOffsets(ctx, names...)
	if err != nil && len(ends) == 0 {
		return fmt.Errorf("list log end offsets: %w", err)
	}
	kept := l.All[:0]
	for _, log := range l.All {
		end, ok := ends.Lookup(log.Topic, log.Partition)
		if topics[log.Topic].ID != log.ID {
			l.Unknown = append(l.Unknown, fmt.Sprintf("%s/%d: the topic was made again while it was looked at", log.Topic, log.Partition))
			continue
		}
		if l.answers(log.Topic, log.Partition, end, ok) {
			log.End = end.Offset
			kept = append(kept, log)
		}
	}
	l.All = kept
	return nil
}

// Error tells what the cluster could not answer for; nil where it is nothing.
func (l *Logs) Error() error {
	const named = 5
	switch n := len(l.Unknown); {
	case n == 0:
		return nil
	case n > named:
		return fmt.Errorf("%s and %d more", strings.Join(l.Unknown[:named], "; "), n-named)
	}
	return errors.New(strings.Join(l.Unknown, "; "))
}
