package app

import (
	"context"
	"net"
	"time"

	"audittrail/modules/query"
	"audittrail/modules/store"
	"audittrail/platform/lifecycle"
)

// maxDrain is how long requests under way may take to end, where the grace period is longer.
const maxDrain = 10 * time.Second

// apiRole serves the API.
func apiRole(_ context.Context, p *parts, open pools) (lifecycle.Role, error) {
	return query.NewRole(query.RoleOptions{
		HTTP:      p.cfg.HTTP,
		Auth:      p.cfg.Auth,
		Reader:    store.NewReader(store.ReaderOptions{Pool: open["api"]}),
		Log:       p.log,
		Metrics:   p.metrics,
		Drain:     min(maxDrain, p.cfg.Shutdown.Grace/2),
		Listening: func(addr net.Addr) { p.listeners.up("api", addr) },

		State:        p.cfg.State,
		PublicLedger: p.cfg.Ledger.Public,
	})
}
