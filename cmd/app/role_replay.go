package app

import (
	"context"

	"github.com/jackc/pgx/v5/pgxpool"

	"audittrail/modules/ingest"
	"audittrail/modules/replay"
	"audittrail/modules/store"
	"audittrail/platform/lifecycle"
)

// replayRole sends stored events to targets once more.
func replayRole(_ context.Context, p *parts, open pools) (lifecycle.Role, error) {
	return replay.New(replay.Dependencies{
		Jobs:    store.NewReplayWork(open["replay"], replay.Lease),
		Reader:  store.NewReader(store.ReaderOptions{Pool: open["replay"], Scoped: true}),
		Targets: replayTargets(p.cfg), Kafka: p.cfg.Kafka, MaxRecordBytes: p.cfg.Ingest.MaxRecordBytes,
		Log: p.log.With("role", "replay"), Metrics: p.metrics,
	})
}

// replayHandlers are the handlers of replays, on the API's pool.
func replayHandlers(c Config, pool *pgxpool.Pool, reader *store.Reader) *replay.Endpoints {
	return replay.NewEndpoints(replay.EndpointOptions{
		Jobs: store.NewReplays(pool), Reader: reader, Targets: replayTargets(c),
		Ingested: func(ctx context.Context) ([]string, error) {
			topics, err := store.Topics(ctx, pool)
			names := make([]string, len(topics))
			for i, t := range topics {
				names[i] = t.Topic
			}
			return names, err
		},
	})
}

func replayTargets(c Config) *replay.Targets {
	return replay.NewTargets(c.Replay, ingest.Subscribes(c.Kafka.Topics, c.Ingest.DLQSuffix), c.Ingest.DLQSuffix)
}
