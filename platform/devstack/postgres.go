package devstack

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// PostgresOptions say what kind of server StartPostgres starts.
type PostgresOptions struct {
	// DataDir keeps the data between starts; it is made where it does not exist. Empty: a temporary
	// folder that goes with the server, also when this process is killed; of a Fast one in memory
	// (temporaryFolders).
	DataDir string

	// Port on 127.0.0.1; 0 for any free one.
	Port int

	// Fast gives up durability for speed (fsync off). Commits stay synchronous in every other way.
	// For tests only: a crash of the machine breaks the data.
	Fast bool

	// Settings are server parameters by name, e.g. "max_connections": "200".
	Settings map[string]string

	// Follows makes the server a streaming replica of another one, of which it is a copy. Its data are new.
	Follows *Postgres

	// BinDir is the folder of postgres and initdb. Empty: see findBinaries.
	BinDir string

	// Log may be nil.
	Log *slog.Logger
}

// Postgres is a PostgreSQL server that this process owns: it listens on 127.0.0.1 alone, asks for a
// random password, and ends with this process, however that ends.
//
// Its methods MUST NOT be called from several goroutines at once, but for URL.
type Postgres struct {
	opts    PostgresOptions
	bin     binaries
	owner   owner
	cluster *cluster
	port    int

	mu     sync.Mutex
	server *server // nil while halted
}

// StartPostgres starts a server and returns once it takes connections.
func StartPostgres(ctx context.Context, opts PostgresOptions) (*Postgres, error) {
	if opts.Log == nil {
		opts.Log = slog.New(slog.DiscardHandler)
	}
	p := &Postgres{opts: opts, port: opts.Port}
	if err := p.open(ctx); err != nil {
		return nil, fmt.Errorf("start PostgreSQL: %w", err)
	}
	if err := p.Start(ctx); err != nil {
		return nil, errors.Join(err, p.cluster.close())
	}
	return p, nil
}

// open finds binaries and account, and makes the cluster ready to be served.
func (p *Postgres) open(ctx context.Context) (err error) {
	if p.owner, err = serverOwner(); err != nil {
		return err
	}
	if p.cluster, err = openCluster(ctx, p.opts.DataDir, p.owner, temporaryFolders(p.opts.Fast)); err != nil {
		return err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, p.cluster.close())
		}
	}()
	if p.bin, err = findBinaries(ctx, p.opts.BinDir, p.cluster.version, p.opts.Log); err != nil {
		return err
	}
	if err := p.cluster.check(p.bin); err != nil {
		return err
	}
	return p.cluster.initialise(ctx, p.bin, p.opts)
}

// Start starts the server again after Halt or Crash, on the same port and data.
func (p *Postgres) Start(ctx context.Context) error {
	if p.running() != nil {
		return errors.New("start PostgreSQL: it is running")
	}
	started := time.Now()
	fixed := p.port != 0
	var err error
	for range 5 { // a port that was free a moment ago may be taken by now
		if !fixed {
			if p.port, err = freePort(ctx); err != nil {
				return fmt.Errorf("start PostgreSQL: %w", err)
			}
		}
		var s *server
		if s, err = p.launch(ctx); err == nil {
			p.setServer(s)
			p.opts.Log.Info("PostgreSQL started", "port", p.port, "version", p.bin.version,
				"data", p.cluster.data, "after", time.Since(started).Round(time.Millisecond))
			return nil
		}
		if fixed || !errors.Is(err, errPortTaken) {
			break
		}
	}
	return fmt.Errorf("start PostgreSQL: %w", err)
}

// launch starts the process and waits until a login succeeds.
func (p *Postgres) launch(ctx context.Context) (*server, error) {
	if err := p.cluster.evictOrphan(ctx); err != nil {
		return nil, err
	}
	s, err := startServer(p.bin, p.owner, p.cluster, p.arguments())
	if err != nil {
		return nil, err
	}
	if err := p.awaitLogin(ctx, s); err != nil {
		return nil, errors.Join(err, s.stop(context.WithoutCancel(ctx), stopImmediate))
	}
	return s, nil
}

// arguments are the settings; on the command line they win over postgresql.conf and ALTER SYSTEM.
func (p *Postgres) arguments() []string {
	settings := map[string]string{
		"listen_addresses":        "127.0.0.1",
		"port":                    strconv.Itoa(p.port),
		"unix_socket_directories": "",
		"logging_collector":       "off",
		"log_destination":         "stderr",
	}
	if p.opts.Fast {
		settings["fsync"] = "off"
		settings["full_page_writes"] = "off"
		settings["max_wal_size"] = "128MB" // it may be in memory
	}
	for name, value := range p.opts.Settings {
		settings[name] = value
	}
	args := []string{"-D", p.cluster.data}
	for name, value := range settings {
		args = append(args, "-c", name+"="+value)
	}
	return args
}

// awaitLogin polls, since a postmaster says nowhere but in its answers that it is ready. A wrong
// password, or another server's answer on a port that was taken meanwhile, is an error at once.
func (p *Postgres) awaitLogin(ctx context.Context, s *server) error {
	ctx, cancel := context.WithTimeout(ctx, time.Minute) // crash recovery of a large data folder takes a while
	defer cancel()
	tick := time.NewTicker(15 * time.Millisecond)
	defer tick.Stop()
	for {
		err := p.tryLogin(ctx)
		if err == nil {
			return nil
		}
		if isLoginRefused(err) {
			return fmt.Errorf("the server on port %d does not take our password: %w", p.port, err)
		}
		select {
		case <-s.exited:
			return s.failure()
		case <-ctx.Done():
			return fmt.Errorf("it did not become ready: %w (%s)", ctx.Err(), s.lastLog())
		case <-tick.C:
		}
	}
}

// tryLogin has a short time limit of its own: what took the port in our stead may never answer.
func (p *Postgres) tryLogin(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	conn, err := pgx.Connect(ctx, p.URL("postgres"))
	if err != nil {
		return err
	}
	return conn.Close(ctx)
}

// URL is how to log in to database as the superuser. It holds the password.
func (p *Postgres) URL(database string) string {
	u := url.URL{
		Scheme:   "postgres",
		User:     url.UserPassword(superuser, p.cluster.password),
		Host:     net.JoinHostPort("127.0.0.1", strconv.Itoa(p.port)),
		Path:     "/" + database,
		RawQuery: "sslmode=disable",
	}
	return u.String()
}

// Version is the server's version, as "15.13".
func (p *Postgres) Version() string { return p.bin.version }

// Exited is closed once the running server process has ended, also by itself.
// It is nil, and blocks for ever, while the server is halted.
func (p *Postgres) Exited() <-chan struct{} {
	if s := p.running(); s != nil {
		return s.exited
	}
	return nil
}

// Failure is why the running server has ended by itself, as its log tells. To be called after Exited is
// closed; nil while the server is halted.
func (p *Postgres) Failure() error {
	if s := p.running(); s != nil {
		return s.ending()
	}
	return nil
}

// Halt shuts the server down as an operator would: sessions are cut, the data are consistent.
// Start brings it back.
func (p *Postgres) Halt(ctx context.Context) error { return p.end(ctx, stopFast) }

// Crash ends the server without a checkpoint, so that the next Start has to recover.
func (p *Postgres) Crash(ctx context.Context) error { return p.end(ctx, stopImmediate) }

// Stop ends the server for good and removes temporary data. It does nothing the second time.
// When ctx ends first the server is ended the hard way, which loses nothing that was committed.
func (p *Postgres) Stop(ctx context.Context) error {
	mode := stopFast
	if p.cluster.temporary {
		mode = stopImmediate
	}
	return errors.Join(p.end(ctx, mode), p.cluster.close())
}

func (p *Postgres) end(ctx context.Context, mode stopMode) error {
	s := p.running()
	if s == nil {
		return nil
	}
	p.setServer(nil)
	if err := s.stop(ctx, mode); err != nil {
		return fmt.Errorf("stop PostgreSQL: %w", err)
	}
	p.opts.Log.Info("PostgreSQL stopped", "port", p.port)
	return nil
}

func (p *Postgres) running() *server {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.server
}

func (p *Postgres) setServer(s *server) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.server = s
}

// isLoginRefused tells a wrong password from a server that is not there yet.
func isLoginRefused(err error) bool {
	var refused *pgconn.PgError
	return errors.As(err, &refused) && strings.HasPrefix(refused.Code, "28")
}

// freePort asks the kernel for a port that nobody has right now.
func freePort(ctx context.Context) (int, error) {
	l, err := new(net.ListenConfig).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return 0, fmt.Errorf("find a free port: %w", err)
	}
	port := l.Addr().(*net.TCPAddr).Port
	return port, l.Close()
}

// abs is filepath.Abs with the one error it can have said in our words.
func abs(dir string) (string, error) {
	full, err := filepath.Abs(dir)
	if err != nil {
		return "", fmt.Errorf("data folder %q: %w", dir, err)
	}
	return full, nil
}

// exists says whether there is something at path.
func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}
