package postgres

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"audittrail/platform/errs"
)

const (
	// poolerAnswers is how long the look at a pooler may take.
	poolerAnswers = 3 * time.Second

	// poolerKnown is how long a pooler is taken to be in session mode after it was.
	poolerKnown = time.Minute

	// poolerRounds is how often two connections take turns. A pooler that gives its servers away in turn may give a
	// connection the same one twice; it does not do so three times, unless others take part.
	poolerRounds = 3
)

// pooler is what is known of a pooler between this program and PostgreSQL, such as PgBouncer. Only one in session mode
// can be used: settings, prepared statements, advisory locks and LISTEN belong to a session of the server, which in
// other modes the next statement may not have.
type pooler struct {
	connect func(context.Context) (*pgconn.PgConn, error) // another connection, the same way

	mu      sync.Mutex
	known   time.Time // when it was last seen in session mode
	looking *look     // nil while nobody looks
}

// look is a look at a pooler, of which there is one at a time.
type look struct {
	done chan struct{} // closed once err and left are set
	err  error
	left bool // who looked went away: err says nothing of the pooler
}

// check refuses a pooler by which a connection does not keep its server. backend is the server's process that the
// connection had. Whoever comes while another looks waits for what that one sees.
func (p *pooler) check(ctx context.Context, conn *pgconn.PgConn, backend string) error {
	for {
		p.mu.Lock()
		if time.Since(p.known) < poolerKnown {
			p.mu.Unlock()
			return nil
		}
		l := p.looking
		isFirst := l == nil
		if isFirst {
			l = &look{done: make(chan struct{})}
			p.looking = l
		}
		p.mu.Unlock()
		if isFirst {
			l.err = p.look(ctx, conn, backend)
			l.left = l.err != nil && ctx.Err() != nil
			p.mu.Lock()
			if p.looking = nil; l.err == nil {
				p.known = time.Now()
			}
			p.mu.Unlock()
			close(l.done)
			return l.err
		}
		select {
		case <-l.done:
			if !l.left {
				return l.err
			}
		case <-ctx.Done():
			return fmt.Errorf("wait for the look at the pooler: %w", ctx.Err())
		}
	}
}

// look has two connections take turns.
func (p *pooler) look(ctx context.Context, conn *pgconn.PgConn, backend string) error {
	ctx, cancel := context.WithTimeout(ctx, poolerAnswers)
	defer cancel()
	other, err := p.connect(ctx)
	if err != nil {
		return noOther(err)
	}
	defer other.Close(ctx) //nolint:errcheck // nothing is lost with it
	for range poolerRounds {
		keeps, err := p.turn(ctx, conn, other, backend)
		if err != nil {
			return err
		}
		if !keeps {
			return errTransactionMode
		}
	}
	return nil
}

var errTransactionMode = errs.New(errs.Unavailable, codePooler, "the pooler between this program and PostgreSQL is in transaction mode, "+
	"in which the statements of a connection reach different sessions: set pool_mode = session for this login and database (PgBouncer), or connect to PostgreSQL itself")

// turn has the other connection begin a transaction, which takes a server, and reports whether the first still has its
// own.
func (p *pooler) turn(ctx context.Context, conn, other *pgconn.PgConn, backend string) (keeps bool, err error) {
	if _, err := other.Exec(ctx, "BEGIN").ReadAll(); err != nil {
		return false, noOther(err)
	}
	taken, err := backendOf(ctx, other)
	if err != nil {
		return false, noOther(err)
	}
	if taken == backend { // conn would wait for it
		return false, nil
	}
	now, err := backendOf(ctx, conn)
	if err != nil {
		return false, fmt.Errorf("look at the pooler: %w", err)
	}
	if _, err := other.Exec(ctx, "COMMIT").ReadAll(); err != nil {
		return false, noOther(err)
	}
	return now == backend, nil
}

// noOther is the error where there is no second connection to look at the pooler with.
func noOther(err error) error {
	var answered *pgconn.PgError
	if errors.As(err, &answered) && strings.Contains(answered.Message, "statement pooling") {
		return errs.New(errs.Unavailable, codePooler,
			"the pooler between this program and PostgreSQL is in statement mode: set pool_mode = session for this login and database (PgBouncer), or connect to PostgreSQL itself").Because(err)
	}
	return errs.New(errs.Unavailable, codePooler, "the pooler between this program and PostgreSQL gave no second connection within %s, by which its mode would have shown: "+
		"its pool (PgBouncer's default_pool_size) must have room for all connections of this program; OPERATIONS has their sum", poolerAnswers).Because(err)
}

func backendOf(ctx context.Context, conn *pgconn.PgConn) (string, error) {
	answer := conn.ExecParams(ctx, "SELECT pg_catalog.pg_backend_pid()::text", nil, nil, nil, nil).Read()
	if answer.Err != nil {
		return "", answer.Err
	}
	return string(answer.Rows[0][0]), nil
}

const (
	setSQL     = `SELECT pg_catalog.set_config(name, value, false) FROM unnest($1::text[], $2::text[]) AS s (name, value)`
	setRoleSQL = `SELECT pg_catalog.set_config('role', $1, false)`
)

// backendKey is what a connection through a pooler keeps the server's process under.
const backendKey = "audittrail.backend"

// take makes a connection through a pooler what it would be without it.
func (s session) take(ctx context.Context, conn *pgconn.PgConn, backend string) (has map[string]string, err error) {
	if err := s.pooler.check(ctx, conn, backend); err != nil {
		return nil, err
	}
	if err := s.apply(ctx, conn); err != nil {
		return nil, err
	}
	if has, err = s.read(ctx, conn); err != nil {
		return nil, err
	}
	if has["backend"] != backend {
		return nil, errTransactionMode
	}
	pid, err := strconv.ParseUint(backend, 10, 32)
	if err != nil {
		return nil, fmt.Errorf("the server's process: %w", err)
	}
	conn.CustomData()[backendKey] = uint32(pid)
	return has, nil
}

// apply sets by statements what a pooler drops of the start-up parameters. The session may have been another client's,
// whose settings go first.
func (s session) apply(ctx context.Context, conn *pgconn.PgConn) error {
	if _, err := conn.Exec(ctx, "DISCARD ALL").ReadAll(); err != nil {
		return fmt.Errorf("reset the pooler's session: %w", err)
	}
	settings := maps.Clone(s.settings)
	settings["application_name"] = s.name
	delete(settings, "session_replication_role") // a superuser's alone
	names := slices.Sorted(maps.Keys(settings))
	values := make([]string, len(names))
	for i, name := range names {
		values[i] = settings[name]
	}
	if err := conn.ExecParams(ctx, setSQL, [][]byte{array(names), array(values)}, nil, nil, nil).Read().Err; err != nil {
		return fmt.Errorf("set what the pooler drops: %w", err)
	}
	if s.role == "" {
		return nil
	}
	err := conn.ExecParams(ctx, setRoleSQL, [][]byte{[]byte(s.role)}, nil, nil, nil).Read().Err
	var refused *pgconn.PgError
	if errors.As(err, &refused) {
		if known := roleRefused(refused); known != nil {
			return known
		}
	}
	return err
}

// Backend returns the server's process that a connection has, by which pg_stat_activity and pg_locks know it. PgBouncer
// gives its clients numbers of its own.
func Backend(conn *pgconn.PgConn) uint32 {
	if pid, pooled := conn.CustomData()[backendKey].(uint32); pooled {
		return pid
	}
	return conn.PID()
}

// array writes texts as PostgreSQL reads an array of them.
func array(texts []string) []byte {
	quoted := make([]string, len(texts))
	for i, text := range texts {
		quoted[i] = `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(text) + `"`
	}
	return []byte("{" + strings.Join(quoted, ",") + "}")
}
