package kafkaserver

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

// waitReady asks until the broker names itself and a leader for every partition: after a kill, the
// controller admits the broker again only when its old session has run out.
func (s *Server) waitReady(ctx context.Context) error {
	client, err := kgo.NewClient(kgo.SeedBrokers(s.Plain), kgo.MetadataMinAge(100*time.Millisecond),
		kgo.DialTimeout(time.Second), kgo.RequestRetries(0))
	if err != nil {
		return err
	}
	defer client.Close()
	again := time.NewTicker(100 * time.Millisecond)
	defer again.Stop()
	for {
		err := leaders(ctx, kadm.NewClient(client))
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("not ready: %w (last answer: %w)", context.Cause(ctx), err)
		case <-s.exited:
			return errors.New("the process ended")
		case <-again.C:
		}
	}
}

// leaders says what is still missing until every partition can be read and written.
func leaders(ctx context.Context, admin *kadm.Client) error {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	meta, err := admin.Metadata(ctx)
	if err != nil {
		return err
	}
	if len(meta.Brokers) == 0 {
		return errors.New("no broker is registered")
	}
	for _, topic := range meta.Topics {
		for _, partition := range topic.Partitions {
			if partition.Leader < 0 {
				return fmt.Errorf("%s/%d has no leader", topic.Topic, partition.Partition)
			}
		}
	}
	return nil
}

// logTail is the end of the broker's log, for the message that says why it did not start.
func (s *Server) logTail() string {
	const most = 4000
	text, err := os.ReadFile(s.logPath())
	if err != nil {
		return err.Error()
	}
	return string(text[max(0, len(text)-most):])
}
