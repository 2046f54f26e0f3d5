package ingest

import (
	"context"
	"maps"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

const (
	commitEvery = time.Second     // offsets of the group, for lag tools
	watchEvery  = 5 * time.Second // what may change without a word; see surveyor
	askTimeout  = 5 * time.Second
	remindEvery = time.Minute // of topics that are missing
)

// watch commits offsets to the group, looks for strangers in it, and has the surveyor look.
func (p *pipeline) watch(ctx context.Context, surveyor *surveyor, every time.Duration) {
	commit, look := time.NewTicker(min(commitEvery, every)), time.NewTicker(every)
	defer commit.Stop()
	defer look.Stop()
	committed := map[*lease]int64{}
	surveyor.look(ctx)
	known := false // whether the group has said who is in it since it changed last
	for {
		select {
		case <-ctx.Done():
			return
		case <-p.strangers.soon:
			known = p.strangers.look(ctx)
		case <-commit.C:
			if !known {
				known = p.strangers.look(ctx)
			}
			p.commit(ctx, committed)
		case <-look.C:
			p.strangers.renew(ctx, p.consumer)
			known = p.strangers.look(ctx)
			surveyor.look(ctx)
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
