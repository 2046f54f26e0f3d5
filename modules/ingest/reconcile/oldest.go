package reconcile

import (
	"context"
	"sync"
	"time"

	"audittrail/modules/store"
	"audittrail/platform/kafka"
)

const (
	// asksAtOnce is how many partitions are asked for their oldest unread record at a time.
	asksAtOnce = 8

	// mostAsked is how many partitions are asked at all. With more of them behind, the answer is about the first.
	mostAsked = 256
)

// oldestUnread is when the oldest record that is still to be read was written, by the records' own timestamps. It is
// zero where there is none, or where Kafka does not hand one out: an open transaction's can't be read.
func (k *Comparison) oldestUnread(ctx context.Context, positions store.Positions) time.Time {
	ctx, cancel := context.WithTimeout(ctx, k.cluster.patience)
	defer cancel()
	var (
		mu      sync.Mutex
		oldest  time.Time
		asking  sync.WaitGroup
		free    = make(chan struct{}, asksAtOnce)
		started int
	)
	for _, log := range k.logs.All {
		position, known := positions.Of(store.Partition{TopicID: log.ID, Topic: log.Topic, Number: log.Partition})
		from := max(position.NextOffset, log.Start)
		if !known || from >= log.End || started == mostAsked {
			continue
		}
		started++
		free <- struct{}{}
		asking.Go(func() {
			defer func() { <-free }()
			batch, err := kafka.FetchBatch(ctx, k.cluster.client, log.ID, log.TopicPartition, from)
			if err != nil {
				return // it has no age, and is counted all the same
			}
			mu.Lock()
			defer mu.Unlock()
			if at := batch.Timestamp(); oldest.IsZero() || at.Before(oldest) {
				oldest = at
			}
		})
	}
	asking.Wait()
	return oldest
}
