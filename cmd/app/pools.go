package app

import (
	"context"
	"slices"

	"github.com/jackc/pgx/v5/pgxpool"

	"audittrail/platform/postgres"
)

// pools are a role's pools, by their names in the table.
type pools map[string]*pgxpool.Pool

// DatabaseRoles returns the database roles that the configuration's roles act as, each once.
func DatabaseRoles(c Config) []string {
	var names []string
	for _, r := range chosen(c) {
		for _, o := range r.pools {
			if o.Role != "" && !slices.Contains(names, o.Role) {
				names = append(names, o.Role)
			}
		}
	}
	return names
}

// openPools makes the pools of a role's row. They open no connection yet.
func (p *parts) openPools(ctx context.Context, r role) (pools, error) {
	opened := pools{}
	for _, o := range r.pools {
		pool, err := p.pool(ctx, o)
		if err != nil {
			return nil, err
		}
		opened[o.Name] = pool
	}
	return opened, nil
}

// probePool asks for the schema's version, once for all roles: it answers also where a role's own pool
// is busy.
func (p *parts) probePool(ctx context.Context, r role) (*pgxpool.Pool, error) {
	if p.probe != nil {
		return p.probe, nil
	}
	var err error
	p.probe, err = p.pool(ctx, postgres.PoolOptions{Name: "probe", Role: r.pools[0].Role, MaxConns: 1, StatementTimeout: gateTimeout})
	return p.probe, err
}

// pool makes a pool, and keeps it for the end. It opens no connection yet.
func (p *parts) pool(ctx context.Context, o postgres.PoolOptions) (*pgxpool.Pool, error) {
	o.URL, o.Metrics = p.cfg.Postgres.URL, p.metrics
	o.Fresh = func() string { return p.cfg.fresh("postgres.url", o.URL) }
	pool, err := postgres.Open(ctx, o)
	if err != nil {
		return nil, err
	}
	p.pools = append(p.pools, pool)
	return pool, nil
}
