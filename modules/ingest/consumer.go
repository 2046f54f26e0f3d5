package ingest

import (
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

const (
	// fetchesAtATime bounds how many brokers' answers the client holds; with ingest.max_fetch_bytes
	// it bounds the client's memory.
	fetchesAtATime = 2
	// fetchShares is how many partitions share one fetch, if they all have enough.
	fetchShares = 4
	// fetchWait is how long a broker may hold a fetch that finds nothing. It is short, since few
	// fetches are under way at a time and a broker with news may have to wait for its turn.
	fetchWait = 500 * time.Millisecond
	// unpackedBytes is how much of unpacked batches the client may hold: enough for what one fetch of
	// ordinary batches unpacks to.
	unpackedBytes = 24 << 20
	// heartbeats a session: several may be lost before the session is.
	heartbeatsPerSession = 4
	// rebalanceSlack is added to the drain timeout for the way to the group and back.
	rebalanceSlack = 10 * time.Second
)

// consumerOptions make the client a member of the group.
func (r *Role) consumerOptions(p *pipeline) []kgo.Opt {
	k := r.deps.Kafka
	opts := []kgo.Opt{
		kgo.ConsumerGroup(k.Group),
		kgo.Balancers(balancer{kgo.CooperativeStickyBalancer(), p.strangers.badge}),
		kgo.SessionTimeout(k.SessionTimeout),
		kgo.HeartbeatInterval(min(3*time.Second, k.SessionTimeout/heartbeatsPerSession)),
		kgo.RebalanceTimeout(r.options.DrainTimeout + rebalanceSlack),
		kgo.DisableAutoCommit(),
		kgo.BlockRebalanceOnPoll(),
		kgo.AdjustFetchOffsetsFn(p.locator.adjustOffsets),
		kgo.OnPartitionsAssigned(p.assigned),
		kgo.OnPartitionsRevoked(p.revoked),
		kgo.OnPartitionsLost(p.lost),

		kgo.ConsumeResetOffset(kgo.NoResetOffset()), // the default goes on silently past lost data
		kgo.FetchIsolationLevel(kgo.ReadCommitted()),
		kgo.KeepControlRecords(), // so that markers at the end of a log are accounted for

		kgo.FetchMaxBytes(int32(r.options.MaxFetchBytes)),
		// A fetch brings several partitions, so that no worker waits while another one's share comes in.
		kgo.FetchMaxPartitionBytes(int32(r.options.MaxFetchBytes / fetchShares)),
		kgo.MaxConcurrentFetches(fetchesAtATime),
		kgo.FetchMaxWait(fetchWait),
	}
	opts = append(opts, p.unpacker.Options()...)
	if k.InstanceID != "" {
		opts = append(opts, kgo.InstanceID(k.InstanceID))
	}
	return append(opts, r.topics...)
}

// controlOptions are for a client that asks questions and publishes dead letters.
func controlOptions() []kgo.Opt {
	return []kgo.Opt{
		kgo.RequiredAcks(kgo.AllISRAcks()),
		kgo.RecordDeliveryTimeout(10 * time.Second),
		kgo.UnknownTopicRetries(2),
		kgo.ProducerBatchMaxBytes(maxLetterBytes),
		kgo.MaxBufferedRecords(outboxPage),
	}
}
