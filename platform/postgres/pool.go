package postgres

import (
	"context"
	"fmt"
	"maps"
	"net"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/prometheus/client_golang/prometheus"

	"audittrail/platform/errs"
	"audittrail/platform/telemetry"
)

// PoolOptions say what connections may do and for how long: a pool's, or a single one.
type PoolOptions struct {
	URL string // may hold several hosts; its sslmode decides on TLS

	// Fresh returns the URL as it is now, for each new connection: its user and password are taken, so that
	// they may rotate. It may be nil.
	Fresh func() string

	// Name says whose pool it is, as "ingest": in the metrics, and as application_name
	// "audittrail-<name>", by which operators and other processes know its connections.
	Name string

	// Role is the database role that each connection takes when it starts; empty for the login itself.
	Role string

	MaxConns int // of a pool, at least 1

	// Time limits that the server enforces; 0 for none, whatever login or database have as default.
	LockTimeout              time.Duration
	StatementTimeout         time.Duration
	IdleInTransactionTimeout time.Duration

	// Parameters are further server parameters, as "jit": "off".
	Parameters map[string]string

	// DurableCommits refuses connections whose commits may be lost by a crash, because the login, the
	// role or the database have another synchronous_commit, and passes over servers that take no commits,
	// as replicas, unless the URL names others than "any" (target_session_attrs).
	DurableCommits bool

	Tracer  pgx.QueryTracer       // may be nil
	Tracing *telemetry.Tracing    // nil: statements have no spans
	Metrics prometheus.Registerer // may be nil; several pools may share a name
}

// Time limits of connections that the network has swallowed. The server's side matters as much: it
// holds the locks of a client that is gone.
const (
	connectTimeout    = 5 * time.Second
	keepaliveIdle     = 10 * time.Second
	keepaliveInterval = 5 * time.Second
	keepaliveCount    = 3
	unacknowledged    = 20 * time.Second // sent data without an answer from the other machine
)

// Open makes a pool. It connects to nothing yet: a database that is away is the first query's error.
func Open(ctx context.Context, opts PoolOptions) (*pgxpool.Pool, error) {
	conn, err := Config(opts)
	if err != nil {
		return nil, err
	}
	if opts.MaxConns < 1 {
		return nil, errs.New(errs.Invalid, "invalid_configuration", "must be at least 1").InField("postgres.max_conns")
	}
	config, err := pgxpool.ParseConfig("")
	if err != nil {
		return nil, fmt.Errorf("pool %s: %w", opts.Name, err)
	}
	config.ConnConfig = conn
	config.MaxConns = int32(min(opts.MaxConns, 1<<15))
	config.BeforeConnect = func(_ context.Context, c *pgx.ConnConfig) error {
		takeFresh(c, opts)
		return nil
	}
	metrics, err := newPoolMetrics(opts.Metrics, opts.Name)
	if err != nil {
		return nil, fmt.Errorf("pool %s: %w", opts.Name, err)
	}
	conn.Tracer = metrics.trace(opts.Tracer, newTracer(opts.Tracing))
	pool, err := pgxpool.NewWithConfig(ctx, config)
	if err != nil {
		return nil, fmt.Errorf("pool %s: %w", opts.Name, err)
	}
	metrics.watch(pool)
	return pool, nil
}

// Connect opens a connection that is no pool's.
func Connect(ctx context.Context, opts PoolOptions) (*pgx.Conn, error) {
	config, err := Config(opts)
	if err != nil {
		return nil, err
	}
	return pgx.ConnectConfig(ctx, config)
}

// Config returns what each connection is made by. One that has not got what the options ask for is refused,
// whoever makes it.
func Config(opts PoolOptions) (*pgx.ConnConfig, error) {
	conn, err := parse(opts.URL)
	if err != nil {
		return nil, err
	}
	// The pool's own pool_* parameters can't be told from the server's in a ConnConfig.
	for name := range conn.RuntimeParams {
		if strings.HasPrefix(name, "pool_") {
			return nil, errs.New(errs.Invalid, "invalid_configuration", "has the parameter %s; use postgres.max_conns", name).InField("postgres.url")
		}
	}
	setParameters(conn, opts)
	conn.DialFunc = dialer().DialContext
	if conn.ConnectTimeout == 0 {
		conn.ConnectTimeout = connectTimeout
	}
	if opts.DurableCommits && conn.ValidateConnect == nil {
		conn.ValidateConnect = pgconn.ValidateConnectTargetSessionAttrsReadWrite
	}
	another := conn.Copy()
	behind := &pooler{connect: func(ctx context.Context) (*pgconn.PgConn, error) {
		c := another.Copy()
		takeFresh(c, opts)
		return pgconn.ConnectConfig(ctx, &c.Config)
	}}
	conn.AfterConnect = newSession(opts, behind).check // for each connection: a default can be changed at any time
	return conn, nil
}

// takeFresh has a connection log in as the URL says now.
func takeFresh(c *pgx.ConnConfig, opts PoolOptions) {
	if opts.Fresh == nil {
		return
	}
	if now, err := parse(opts.Fresh()); err == nil { // else what there was is as good as any
		c.User, c.Password = now.User, now.Password
	}
}

// setParameters sends what a connection may do with its start-up packet.
func setParameters(conn *pgx.ConnConfig, opts PoolOptions) {
	p := conn.RuntimeParams
	p["application_name"] = applicationName(opts)
	maps.Copy(p, limits(opts))
	p["tcp_keepalives_idle"] = seconds(keepaliveIdle)
	p["tcp_keepalives_interval"] = seconds(keepaliveInterval)
	p["tcp_keepalives_count"] = strconv.Itoa(keepaliveCount)
	p["tcp_user_timeout"] = milliseconds(unacknowledged)
	if opts.Role != "" {
		p["role"] = opts.Role
	}
	maps.Copy(p, opts.Parameters)
}

func applicationName(opts PoolOptions) string { return "audittrail-" + opts.Name }

// limits are the settings that bound where a connection looks and how long it works.
func limits(opts PoolOptions) map[string]string {
	return map[string]string{
		"search_path":                         "public, pg_temp",
		"lock_timeout":                        milliseconds(opts.LockTimeout),
		"statement_timeout":                   milliseconds(opts.StatementTimeout),
		"idle_in_transaction_session_timeout": milliseconds(opts.IdleInTransactionTimeout),
	}
}

func milliseconds(d time.Duration) string { return strconv.FormatInt(d.Milliseconds(), 10) }
func seconds(d time.Duration) string      { return strconv.FormatInt(int64(d/time.Second), 10) }

func dialer() *net.Dialer {
	return &net.Dialer{
		Control: limitUnacknowledged,
		KeepAliveConfig: net.KeepAliveConfig{
			Enable: true, Idle: keepaliveIdle, Interval: keepaliveInterval, Count: keepaliveCount,
		},
	}
}
