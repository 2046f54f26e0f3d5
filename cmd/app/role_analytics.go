package app

import (
	"context"

	"audittrail/modules/analytics"
	"audittrail/platform/lifecycle"
)

// analyticsRole counts events while they come in.
func analyticsRole(_ context.Context, p *parts, open pools) (lifecycle.Role, error) {
	return analytics.New(analytics.Dependencies{Pool: open["analytics"], Options: p.cfg.Analytics, Log: p.log.With("role", "analytics"), Metrics: p.metrics, Tracing: p.tracing})
}
