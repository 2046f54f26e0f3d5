package app

import (
	"context"

	"github.com/jackc/pgx/v5/pgxpool"

	"audittrail/modules/ingest"
	"audittrail/modules/ingest/reconcile"
	"audittrail/modules/protect"
	"audittrail/modules/store"
	"audittrail/platform/lifecycle"
)

// ingestRole reads Kafka and appends to the event store.
func ingestRole(_ context.Context, p *parts, open pools) (lifecycle.Role, error) {
	pool := open["ingest"]
	sealer, keys, err := p.sealer("ingest", open)
	if err != nil {
		return nil, err
	}
	var letters *protect.Letters
	if keys != nil && len(p.cfg.Encryption.Rules) > 0 {
		letters = protect.NewLetters(keys)
	}
	checker, err := p.checker(open["reconcile"])
	if err != nil {
		return nil, err
	}
	return ingest.New(p.cfg.Ingest, ingest.Dependencies{
		Kafka:    p.cfg.Kafka,
		Store:    store.NewAppender(store.AppenderOptions{Pool: pool, Breaker: open["breaker"], Letters: letters, Log: p.log}),
		Sealer:   sealer,
		Outbox:   outbox{store.NewOutbox(pool)},
		Checker:  checker,
		Ping:     pool.Ping,
		Registry: p.metrics,
		Tracing:  p.tracing,
		Log:      p.log,
	})
}

// checker checks the accounting now and then, in one process of those that ingest: they know Kafka and may read all
// tables already. It is nil where nobody wants that.
func (p *parts) checker(pool *pgxpool.Pool) (ingest.Checker, error) {
	checker, err := reconcile.NewChecker(reconcile.Dependencies{
		Pool: pool, Kafka: p.cfg.Kafka, Wanted: ingest.Subscribes(p.cfg.Kafka.Topics, p.cfg.Ingest.DLQSuffix),
		Every: p.cfg.Ingest.ReconcileEvery, Log: p.log.With("role", "ingest"), Metrics: p.metrics,
	})
	if err != nil || p.cfg.Ingest.ReconcileEvery == 0 {
		return nil, err // its metrics stay at zero
	}
	return checker, nil
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
