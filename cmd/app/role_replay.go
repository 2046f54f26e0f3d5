package app

import (
	"context"

	"github.com/jackc/pgx/v5/pgxpool"

	"audittrail/modules/ingest"
	"audittrail/modules/protect"
	"audittrail/modules/replay"
	"audittrail/modules/store"
	"audittrail/platform/lifecycle"
)

// replayRole sends stored events to targets once more, and redrives dead letters.
func replayRole(_ context.Context, p *parts, open pools) (lifecycle.Role, error) {
	log := p.log.With("role", "replay")
	sealer, keys, err := p.sealer("replay", open)
	if err != nil {
		return nil, err
	}
	var opener *protect.Opener
	if keys != nil {
		opener = protect.NewOpener(keys)
	}
	redriver, err := replay.NewRedriver(replay.RedriveDependencies{
		Letters: store.NewLetters(open["redrive"]),
		Store:   store.NewAppender(store.AppenderOptions{Pool: open["redrive"], Log: log}),
		Sealer:  sealer, Opener: opener, Rules: p.cfg.Ingest.Rules(), Source: replay.NewSource(p.cfg.Kafka, log),
		Log: log, Metrics: p.metrics, Tracing: p.tracing,
	})
	if err != nil {
		return nil, err
	}
	return replay.New(replay.Dependencies{
		Jobs:    store.NewReplayWork(open["replay"], replay.Lease),
		Reader:  store.NewReader(store.ReaderOptions{Pool: open["replay"], Scoped: true, Opener: opener}),
		Targets: replayTargets(p.cfg), Kafka: p.cfg.Kafka, MaxRecordBytes: p.cfg.Ingest.MaxRecordBytes,
		Ingested: ingestedTopics(open["replay"]),
		Redriver: redriver, Log: log, Metrics: p.metrics, Tracing: p.tracing,
	})
}

// replayHandlers are the handlers of replays, on the API's pool.
func replayHandlers(c Config, pool *pgxpool.Pool, reader *store.Reader, rules *protect.Rules) *replay.Endpoints {
	return replay.NewEndpoints(replay.EndpointOptions{
		Jobs: store.NewReplays(pool), Reader: reader, Targets: replayTargets(c), Rules: rules,
		Ingested: ingestedTopics(pool),
	})
}

// ingestedTopics lists the topics that ingest has ever read.
func ingestedTopics(pool *pgxpool.Pool) func(context.Context) ([]string, error) {
	return func(ctx context.Context) ([]string, error) {
		topics, err := store.Topics(ctx, pool)
		names := make([]string, len(topics))
		for i, t := range topics {
			names[i] = t.Topic
		}
		return names, err
	}
}

func replayTargets(c Config) *replay.Targets {
	return replay.NewTargets(c.Replay, ingest.Subscribes(c.Kafka.Topics, c.Ingest.DLQSuffix), c.Ingest.DLQSuffix)
}
