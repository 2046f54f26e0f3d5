package app

import (
	"context"
	"fmt"
	"strconv"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"audittrail/modules/store"
	"audittrail/platform/postgres"
)

// poolOptions say as whom and how a pool speaks to PostgreSQL. Each role has a pool of its own, under
// its own database role and name, so that what it may do and what it does can be told apart there.
type poolOptions struct {
	url         string
	role        string // the database role; "" for the login's own
	application string
	maxConns    int
	parameters  map[string]string // further start-up parameters
}

func milliseconds(d time.Duration) string { return strconv.FormatInt(d.Milliseconds(), 10) }

// stallTimeout bounds how long a stalled ingest can hold what others wait for.
const stallTimeout = 5 * time.Second

func ingestPool(c Config) poolOptions {
	return poolOptions{
		url: c.Postgres.URL, role: "audittrail_ingest", application: store.IngestApplication,
		maxConns: max(c.Postgres.MaxConns, c.Ingest.Workers+3), // offsets, dead letters, health
		parameters: map[string]string{
			"lock_timeout":                        milliseconds(stallTimeout),
			"idle_in_transaction_session_timeout": milliseconds(stallTimeout),
			"synchronous_commit":                  "on",
		},
	}
}

// breakerPool ends stalled transactions of other ingest processes, which only the login may do.
func breakerPool(c Config) poolOptions {
	return poolOptions{url: c.Postgres.URL, application: "audittrail-breaker", maxConns: 2}
}

func apiPool(c Config) poolOptions {
	return poolOptions{
		url: c.Postgres.URL, role: "audittrail_api", application: "audittrail-api", maxConns: c.Postgres.MaxConns,
		parameters: map[string]string{
			"statement_timeout":               milliseconds(10 * time.Second),
			"jit":                             "off",
			"max_parallel_workers_per_gather": "0",
		},
	}
}

// probePool asks for the schema's version, once for all roles: it answers also where a role's own pool
// is busy.
func (p *parts) probePool(ctx context.Context, r role) (*pgxpool.Pool, error) {
	if p.probe != nil {
		return p.probe, nil
	}
	pool, err := p.pool(ctx, poolOptions{
		url: p.cfg.Postgres.URL, role: r.needs.postgres, application: "audittrail-probe", maxConns: 1,
		parameters: map[string]string{"statement_timeout": milliseconds(gateTimeout)},
	})
	p.probe = pool
	return pool, err
}

// pool opens a pool, and keeps it for the end. It opens no connection yet.
func (p *parts) pool(ctx context.Context, o poolOptions) (*pgxpool.Pool, error) {
	conn, err := postgres.Parse(o.url)
	if err != nil {
		return nil, err
	}
	config, err := pgxpool.ParseConfig("")
	if err != nil {
		return nil, fmt.Errorf("pool %s: %w", o.application, err)
	}
	config.ConnConfig = conn
	config.MaxConns = int32(o.maxConns) //nolint:gosec // at most 1000
	if o.role != "" {
		conn.RuntimeParams["role"] = o.role
	}
	conn.RuntimeParams["application_name"] = o.application
	for name, value := range o.parameters {
		conn.RuntimeParams[name] = value
	}
	pool, err := pgxpool.NewWithConfig(ctx, config)
	if err != nil {
		return nil, fmt.Errorf("pool %s: %w", o.application, err)
	}
	p.pools = append(p.pools, pool)
	return pool, nil
}
