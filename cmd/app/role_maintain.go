package app

import (
	"context"

	"audittrail/modules/maintain"
	"audittrail/platform/lifecycle"
)

// maintainRole looks after partitions and indexes. What it does to indexes wants ownership, so it has a
// second pool as the owner: one connection, for as long as it leads.
func maintainRole(_ context.Context, p *parts, open pools) (lifecycle.Role, error) {
	return maintain.New(maintain.Dependencies{Pool: open["maintain"], Owner: open["maintain-owner"], Log: p.log.With("role", "maintain"), Metrics: p.metrics})
}
