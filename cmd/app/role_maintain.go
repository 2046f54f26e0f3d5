package app

import (
	"context"

	"audittrail/modules/maintain"
	"audittrail/platform/lifecycle"
)

// maintainRole looks after partitions and indexes. What it does to indexes wants ownership, so it has a
// second pool as the owner: one connection, for as long as it leads.
func maintainRole(ctx context.Context, p *parts) (lifecycle.Role, error) {
	pool, err := p.pool(ctx, maintainPool())
	if err != nil {
		return nil, err
	}
	owner, err := p.pool(ctx, ownerPool())
	if err != nil {
		return nil, err
	}
	return maintain.New(maintain.Dependencies{Pool: pool, Owner: owner, Log: p.log.With("role", "maintain"), Metrics: p.metrics})
}
