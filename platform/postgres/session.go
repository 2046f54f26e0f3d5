package postgres

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"

	"audittrail/platform/errs"
)

// session is what connections must have, by the names of PostgreSQL's settings.
type session struct {
	role     string // "" for the login itself
	settings map[string]string
	durable  bool
}

// newSession is what the start-up packet of the options asks for. The network's settings are left out: over a
// Unix socket they are 0.
func newSession(opts PoolOptions) session {
	s := session{role: opts.Role, settings: pinned(), durable: opts.DurableCommits}
	maps.Copy(s.settings, limits(opts))
	maps.Copy(s.settings, opts.Parameters)
	s.settings["session_replication_role"] = "origin" // else our triggers do not fire
	return s
}

// sessionSQL reads settings by name, and whom the connection acts as. pg_settings has the time limits in
// milliseconds, as they are sent.
const sessionSQL = `SELECT name, setting FROM pg_catalog.pg_settings WHERE name = ANY ($1)
	UNION ALL SELECT 'current_user', current_user`

// check refuses a connection that has not got what was asked for, since a pooler may drop start-up parameters
// without a word: the connection would work as the login, without role, search path or time limits.
func (s session) check(ctx context.Context, conn *pgconn.PgConn) error {
	names := append(slices.Sorted(maps.Keys(s.settings)), "synchronous_commit")
	list := []byte("{" + strings.Join(names, ",") + "}")
	answer := conn.ExecParams(ctx, sessionSQL, [][]byte{list}, nil, nil, nil).Read()
	if answer.Err != nil {
		return answer.Err
	}
	has := map[string]string{}
	for _, row := range answer.Rows {
		has[string(row[0])] = string(row[1])
	}
	if s.role != "" && has["current_user"] != s.role {
		return dropped("current_user", has["current_user"], s.role)
	}
	for _, name := range names {
		value, known := has[name]
		if want, asked := s.settings[name]; known && asked && !strings.EqualFold(strings.Join(strings.Fields(value), " "), want) {
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

// poolerCure says what to do about a pooler that does not pass start-up parameters on.
const poolerCure = "the pooler between this program and PostgreSQL does not pass start-up parameters on: " +
	"PgBouncer drops those in ignore_startup_parameters and refuses the others; connect to PostgreSQL itself, or through a pooler in session mode that passes them"

func dropped(name, value, want string) error {
	return errs.New(errs.Unavailable, "connection_settings", "a connection to PostgreSQL has %s = %q where %q was asked for: %s", name, value, want, poolerCure)
}

// quotedRole finds the role in PostgreSQL's own words about one that can't be taken.
var quotedRole = regexp.MustCompile(`role "([a-z_]+)"`)

// Refused returns what an operator can do about a connection that was refused; nil for any other error.
func Refused(err error) *errs.Error {
	var known *errs.Error
	if errors.As(err, &known) && known.Code == "connection_settings" {
		return known
	}
	var refused *pgconn.PgError
	if !errors.As(err, &refused) || !strings.HasPrefix(refused.SeverityUnlocalized, "FATAL") && refused.Severity != "FATAL" {
		return nil
	}
	role := ""
	if found := quotedRole.FindStringSubmatch(refused.Message); found != nil {
		role = found[1]
	}
	switch {
	case refused.Code == "42501" && role != "": // permission denied to set role "…"
		return errs.New(errs.Unavailable, "role_not_granted",
			"the login may not act as %s: run `audittrail migrate grant LOGIN`, which prints the GRANT that it needs", role).Because(err)
	case refused.Code == "22023" && role != "": // role "…" does not exist
		return errs.New(errs.Unavailable, "role_missing", "the role %s does not exist: run `audittrail migrate up`", role).Because(err)
	case refused.Code == "08P01" && strings.Contains(refused.Message, "startup parameter"):
		return errs.New(errs.Unavailable, "connection_settings", "%s", poolerCure).Because(err)
	}
	return nil
}
