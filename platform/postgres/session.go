package postgres

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"

	"audittrail/platform/errs"
)

// session is what connections must have, by the names of PostgreSQL's settings.
type session struct {
	name     string // application_name
	role     string // "" for the login itself
	settings map[string]string
	durable  bool
	pooler   *pooler
}

// newSession is what the start-up packet of the options asks for. The network's settings are left out: over a
// Unix socket they are 0.
func newSession(opts PoolOptions, p *pooler) session {
	s := session{name: applicationName(opts), role: opts.Role, settings: pinned(), durable: opts.DurableCommits, pooler: p}
	maps.Copy(s.settings, limits(opts))
	maps.Copy(s.settings, opts.Parameters)
	s.settings["session_replication_role"] = "origin" // else our triggers do not fire
	return s
}

// sessionSQL reads settings by name, whom the connection acts as, and which of the server's processes it has.
// pg_settings has the time limits in milliseconds, as they are sent.
const sessionSQL = `SELECT name, setting FROM pg_catalog.pg_settings WHERE name = ANY ($1)
	UNION ALL SELECT 'current_user', current_user
	UNION ALL SELECT 'backend', pg_catalog.pg_backend_pid()::text`

// check refuses a connection that has not got what was asked for: it would work as the login, without role, search
// path or time limits. A pooler drops start-up parameters without a word; where it is in session mode the connection
// sets them itself.
func (s session) check(ctx context.Context, conn *pgconn.PgConn) error {
	has, err := s.read(ctx, conn)
	if err != nil {
		return err
	}
	if has["backend"] != strconv.FormatUint(uint64(conn.PID()), 10) { // whoever answered has made up its own number
		if has, err = s.take(ctx, conn, has["backend"]); err != nil {
			return err
		}
	}
	return s.compare(has)
}

// read returns what the connection has.
func (s session) read(ctx context.Context, conn *pgconn.PgConn) (map[string]string, error) {
	names := append(slices.Collect(maps.Keys(s.settings)), "synchronous_commit")
	answer := conn.ExecParams(ctx, sessionSQL, [][]byte{array(names)}, nil, nil, nil).Read()
	if answer.Err != nil {
		return nil, answer.Err
	}
	has := map[string]string{}
	for _, row := range answer.Rows {
		has[string(row[0])] = string(row[1])
	}
	return has, nil
}

// compare returns an error where the connection has something else than was asked for.
func (s session) compare(has map[string]string) error {
	if s.role != "" && has["current_user"] != s.role {
		return dropped("current_user", has["current_user"], s.role)
	}
	for _, name := range slices.Sorted(maps.Keys(s.settings)) {
		value, known := has[name]
		if want := s.settings[name]; known && !strings.EqualFold(strings.Join(strings.Fields(value), " "), want) {
			return dropped(name, value, want)
		}
	}
	commits := has["synchronous_commit"]
	if s.durable && commits != "on" && !strings.HasPrefix(commits, "remote_") {
		return fmt.Errorf("synchronous_commit is %s: %w", commits, ErrLossyCommits)
	}
	return nil
}

// ErrLossyCommits is why a connection with DurableCommits is refused.
var ErrLossyCommits = errors.New("synchronous_commit must be on, remote_write or remote_apply: " +
	"with anything less a crash loses events that were acknowledged; change it for the login, the role or the database")

// parametersCure says what to do about a pooler that refuses start-up parameters.
const parametersCure = "the pooler between this program and PostgreSQL refuses start-up parameters: " +
	"list them in PgBouncer's ignore_startup_parameters (OPERATIONS has the line), or connect to PostgreSQL itself"

func dropped(name, value, want string) error {
	return errs.New(errs.Unavailable, codeSettings, "a connection to PostgreSQL has %s = %q where %q was asked for: "+
		"something between this program and PostgreSQL does not pass start-up parameters on, or the login may not set it; connect to PostgreSQL itself", name, value, want)
}

// Codes of what an operator can do something about.
const (
	codeSettings = "connection_settings"
	codePooler   = "pooler_mode"
	codeNotTaken = "role_not_granted"
	codeNoRole   = "role_missing"
	codeNoRoom   = "too_many_connections"
)

// quotedRole finds the role in PostgreSQL's own words about one that can't be taken.
var quotedRole = regexp.MustCompile(`role "([a-z_]+)"`)

// Refused returns what an operator can do about a connection that was refused; nil for any other error.
func Refused(err error) *errs.Error {
	var known *errs.Error
	if errors.As(err, &known) && slices.Contains([]string{codeSettings, codePooler, codeNotTaken, codeNoRole, codeNoRoom}, known.Code) {
		return known
	}
	var refused *pgconn.PgError
	if !errors.As(err, &refused) || !strings.HasPrefix(refused.SeverityUnlocalized, "FATAL") && refused.Severity != "FATAL" {
		return nil
	}
	if refused.Code == "08P01" && strings.Contains(refused.Message, "startup parameter") {
		return errs.New(errs.Unavailable, codeSettings, "%s", parametersCure).Because(err)
	}
	if refused.Code == "53300" { // too_many_connections
		return errs.New(errs.Unavailable, codeNoRoom, "PostgreSQL has no connection left for this login: raise max_connections, or the CONNECTION LIMIT of the login or "+
			"the database, or lower postgres.max_conns; OPERATIONS has the sum of what each role needs").Because(err)
	}
	return roleRefused(refused)
}

// roleRefused returns what an operator can do about a role that could not be taken; nil for any other error.
func roleRefused(refused *pgconn.PgError) *errs.Error {
	found := quotedRole.FindStringSubmatch(refused.Message)
	if found == nil {
		return nil
	}
	switch refused.Code {
	case "42501": // permission denied to set role "…"
		return errs.New(errs.Unavailable, codeNotTaken,
			"the login may not act as %s: run `audittrail migrate grant LOGIN`, which prints the GRANT that it needs", found[1]).Because(refused)
	case "22023": // role "…" does not exist
		return errs.New(errs.Unavailable, codeNoRole, "the role %s does not exist: run `audittrail migrate up`", found[1]).Because(refused)
	}
	return nil
}
