package app

import (
	"context"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5/pgxpool"

	"audittrail/modules/store"
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

// openPools makes the pools of a role's row, and those to the keys where the configuration wants them. They open no
// connection yet.
func (p *parts) openPools(ctx context.Context, r role) (pools, error) {
	opened := pools{}
	for _, o := range r.pools {
		pool, err := p.pool(ctx, o)
		if err != nil {
			return nil, err
		}
		opened[o.Name] = pool
	}
	if !r.opensKeys(p.cfg) {
		return opened, nil
	}
	for _, o := range r.keys {
		pool, err := p.keysPool(ctx, o)
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
	o.URL = p.cfg.Postgres.URL
	o.Fresh = func() string { return p.cfg.fresh("postgres.url", o.URL) }
	return p.poolTo(ctx, o)
}

// replicas makes a pool to each replica, like the one given.
func (p *parts) replicas(ctx context.Context, like postgres.PoolOptions) ([]store.Replica, error) {
	var all []store.Replica
	like.Name = "replica"
	for i, url := range p.cfg.Postgres.ReplicaURLs {
		like.URL = url
		like.Fresh = func() string {
			now := p.cfg.fresh("postgres.replica_urls", "")
			if urls := strings.Split(now, ","); len(urls) == len(p.cfg.Postgres.ReplicaURLs) {
				return strings.TrimSpace(urls[i])
			}
			return url
		}
		name, err := serverOf(url)
		if err != nil {
			return nil, err
		}
		pool, err := p.poolTo(ctx, like)
		if err != nil {
			return nil, err
		}
		all = append(all, store.Replica{Name: name, Pool: pool})
	}
	return all, nil
}

func (p *parts) poolTo(ctx context.Context, o postgres.PoolOptions) (*pgxpool.Pool, error) {
	o.Metrics, o.Tracing = p.metrics, p.tracing
	pool, err := postgres.Open(ctx, o)
	if err != nil {
		return nil, err
	}
	p.pools = append(p.pools, pool)
	return pool, nil
}
