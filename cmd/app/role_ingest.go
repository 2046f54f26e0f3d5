package app

import (
	"context"

	"audittrail/modules/ingest"
	"audittrail/modules/protect"
	"audittrail/modules/store"
	"audittrail/platform/lifecycle"
)

// ingestRole reads Kafka and appends to the event store.
func ingestRole(ctx context.Context, p *parts, open pools) (lifecycle.Role, error) {
	pool := open["ingest"]
	sealer, keys, err := p.sealer(ctx, "audittrail_ingest")
	if err != nil {
		return nil, err
	}
	var letters *protect.Letters
	if keys != nil && len(p.cfg.Encryption.Rules) > 0 {
		letters = protect.NewLetters(keys)
	}
	return ingest.New(p.cfg.Ingest, ingest.Dependencies{
		Kafka:    p.cfg.Kafka,
		Store:    store.NewAppender(store.AppenderOptions{Pool: pool, Breaker: open["breaker"], Letters: letters, Log: p.log}),
		Sealer:   sealer,
		Outbox:   outbox{store.NewOutbox(pool)},
		Ping:     pool.Ping,
		Registry: p.metrics,
		Tracing:  p.tracing,
		Log:      p.log,
	})
}

// outbox fits the store's outbox to what ingest asks for: the lead as an interface.
type outbox struct{ *store.Outbox }

// Lead makes the caller the one publisher of dead letters, if there is none.
func (o outbox) Lead(ctx context.Context) (ingest.Lead, bool, error) {
	lead, ok, err := o.TryLead(ctx)
	if err != nil || !ok {
		return nil, false, err // and not a nil *store.Lead inside an interface
	}
	return lead, true, nil
}
