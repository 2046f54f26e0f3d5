package app

import (
	"context"
	"strings"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"audittrail/modules/maintain"
	"audittrail/modules/store"
	"audittrail/platform/postgres"
)

// Each role has a pool of its own, under its own database role and name, so that what it may do and
// what it does can be told apart in PostgreSQL.

// stallTimeout bounds how long a stalled ingest can hold what others wait for.
const stallTimeout = 5 * time.Second

func ingestPool(c Config) postgres.PoolOptions {
	return postgres.PoolOptions{
		Name:                     strings.TrimPrefix(store.IngestApplication, "audittrail-"),
		Role:                     "audittrail_ingest",
		MaxConns:                 max(c.Postgres.MaxConns, c.Ingest.Workers+3), // offsets, dead letters, health
		LockTimeout:              stallTimeout,
		IdleInTransactionTimeout: stallTimeout,
		DurableCommits:           true,
	}
}

// breakerPool ends stalled transactions of other ingest processes, which only the login may do.
func breakerPool() postgres.PoolOptions {
	return postgres.PoolOptions{Name: "breaker", MaxConns: 2, StatementTimeout: stallTimeout}
}

// apiPool: lists rely on Append keeping its order, so there are no parallel workers.
func apiPool(c Config) postgres.PoolOptions {
	return postgres.PoolOptions{
		Name:             "api",
		Role:             "audittrail_api",
		MaxConns:         c.Postgres.MaxConns,
		StatementTimeout: 10 * time.Second,
		Parameters:       map[string]string{"jit": "off", "max_parallel_workers_per_gather": "0"},
	}
}

// maintainPool makes partitions.
func maintainPool() postgres.PoolOptions {
	return postgres.PoolOptions{Name: "maintain", Role: "audittrail_maintain", MaxConns: 2, LockTimeout: stallTimeout}
}

// ownerPool keeps indexes in shape, which PostgreSQL lets only their owner do. It never makes anybody
// wait for long.
func ownerPool() postgres.PoolOptions {
	return postgres.PoolOptions{Name: "maintain-owner", Role: "audittrail_owner", MaxConns: 2,
		LockTimeout: maintain.OwnerLockTimeout}
}

// notaryPool signs. What is signed must not be lost by a crash.
func notaryPool() postgres.PoolOptions {
	return postgres.PoolOptions{Name: "notary", Role: "audittrail_notary", MaxConns: 2,
		LockTimeout: stallTimeout, StatementTimeout: 30 * time.Second, DurableCommits: true}
}

// probePool asks for the schema's version, once for all roles: it answers also where a role's own pool
// is busy.
func (p *parts) probePool(ctx context.Context, r role) (*pgxpool.Pool, error) {
	if p.probe != nil {
		return p.probe, nil
	}
	var err error
	p.probe, err = p.pool(ctx, postgres.PoolOptions{Name: "probe", Role: r.needs.postgres, MaxConns: 1, StatementTimeout: gateTimeout})
	return p.probe, err
}

// pool makes a pool, and keeps it for the end. It opens no connection yet.
func (p *parts) pool(ctx context.Context, o postgres.PoolOptions) (*pgxpool.Pool, error) {
	o.URL, o.Metrics = p.cfg.Postgres.URL, p.metrics
	pool, err := postgres.Open(ctx, o)
	if err != nil {
		return nil, err
	}
	p.pools = append(p.pools, pool)
	return pool, nil
}
