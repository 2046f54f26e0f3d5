package ingest

import (
	"context"
	"errors"
	"maps"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"audittrail/platform/kafka"
)

const (
	commitEvery = time.Second     // offsets of the group, for lag tools
	watchEvery  = 5 * time.Second // lag, and whether topics are still the same
	askTimeout  = 5 * time.Second
	remindEvery = time.Minute // of topics that are missing
)

// watch keeps lag up to date, notices topics that are made again, and commits offsets to the group.
func (p *pipeline) watch(ctx context.Context) {
	commit, look := time.NewTicker(commitEvery), time.NewTicker(watchEvery)
	defer commit.Stop()
	defer look.Stop()
	committed := map[*lease]int64{}
	missing := map[string]time.Time{}
	for {
		select {
		case <-ctx.Done():
			return
		case <-commit.C:
			p.commit(ctx, committed)
		case <-look.C:
			p.measureLag(ctx)
			p.identifyAll(ctx, missing)
		}
	}
}

// commit tells the group how far it is. Nothing depends on it: a failure is tried again with the next
// offsets.
func (p *pipeline) commit(ctx context.Context, committed map[*lease]int64) {
	offsets := map[string]map[int32]kgo.EpochOffset{}
	current := map[*lease]int64{}
	for _, l := range p.leases.all() {
		if l.ended.Load() {
			continue
		}
		acked := l.acked.Load()
		current[l] = acked
		if before, ok := committed[l]; ok && before == acked {
			continue
		}
		if offsets[l.id.Topic] == nil {
			offsets[l.id.Topic] = map[int32]kgo.EpochOffset{}
		}
		offsets[l.id.Topic][l.id.Number] = kgo.EpochOffset{Epoch: l.epoch.Load(), Offset: acked}
	}
	if len(offsets) == 0 {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	var failed error
	p.consumer.CommitOffsetsSync(ctx, offsets, func(_ *kgo.Client, _ *commitRequest, _ *commitResponse, err error) { failed = err })
	if failed != nil && ctx.Err() == nil {
		p.log.Debug("could not commit offsets to the group; lag tools are behind until the next time", "error", failed)
	}
	if failed == nil && ctx.Err() == nil {
		clear(committed)
		maps.Copy(committed, current)
	}
}

// measureLag asks for the ends of the logs: the client learns them only from what it fetches.
func (p *pipeline) measureLag(ctx context.Context) {
	held := p.leases.all()
	of := make([]kafka.TopicPartition, 0, len(held))
	for _, l := range held {
		of = append(of, l.at())
	}
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	ends, err := kafka.LogEnds(ctx, p.control, of)
	if err != nil {
		p.log.Debug("could not measure the lag", "error", err)
		return
	}
	for _, l := range held {
		if p.leases.of(l.at()) == l {
			p.metrics.setLag(l, ends[l.at()])
		}
	}
}

// identifyAll looks at the topics that are assigned, and at those that are named, which may not exist
// yet. missing is when each of them was last complained of.
func (p *pipeline) identifyAll(ctx context.Context, missing map[string]time.Time) {
	topics := p.leases.topics()
	for _, topic := range p.named {
		topics[topic] = true
	}
	for topic := range topics {
		if p.identify(ctx, topic) {
			delete(missing, topic)
		} else if p.now().Sub(missing[topic]) >= remindEvery {
			missing[topic] = p.now()
			p.log.Warn("the cluster does not know a topic that is to be ingested; waiting for it", "topic", topic)
		}
	}
}

// identify stops a topic that was deleted and made again: its offsets mean other records now. The
// client goes on asking for the old one. It answers false where the cluster does not know the topic.
func (p *pipeline) identify(ctx context.Context, topic string) bool {
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	topics, err := kafka.Topics(ctx, p.control, []string{topic})
	if err == nil {
		err = topics[topic].Err
	}
	if err != nil {
		return !errors.Is(err, kerr.UnknownTopicOrPartition)
	}
	for _, l := range p.leases.all() {
		if l.id.Topic == topic && l.id.TopicID != topics[topic].ID {
			p.request(order{stopTopic: topic, why: recreated(topic, topics[topic].ID, l.id.TopicID)})
			break
		}
	}
	return true
}
