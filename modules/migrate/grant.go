package migrate

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// setOption is the first server_version_num whose GRANT says by itself whether a member may become the role
// and whether it has the role's rights without becoming it.
const setOption = 160000

// GrantStatements returns the SQL that lets a login act as the database roles, and gives it their rights
// only while it does. version is the server's server_version_num.
func GrantStatements(login string, roles []string, version int) []string {
	name := pgx.Identifier{login}.Sanitize()
	quoted := make([]string, len(roles))
	for i, role := range roles {
		quoted[i] = pgx.Identifier{role}.Sanitize()
	}
	grant := "GRANT " + strings.Join(quoted, ", ") + " TO " + name
	if version >= setOption {
		return []string{grant + " WITH INHERIT FALSE, SET TRUE"}
	}
	return []string{"ALTER ROLE " + name + " NOINHERIT", grant}
}

// analystRole is the database role that reads the analysts' views, and nothing else.
const analystRole = "audittrail_analyst"

// AnalystStatements returns the SQL that lets a login read the analysts' views by itself, since tools of others become
// no role. version is the server's server_version_num.
func AnalystStatements(login string, version int) []string {
	name := pgx.Identifier{login}.Sanitize()
	grant := "GRANT " + analystRole + " TO " + name
	if version >= setOption {
		return []string{grant + " WITH INHERIT TRUE, SET FALSE"}
	}
	return []string{"ALTER ROLE " + name + " INHERIT", grant}
}

// mayMoreSQL returns the first of our other roles that a login may act as.
const mayMoreSQL = `SELECT coalesce(min(r.rolname), '') FROM pg_auth_members AS m
	JOIN pg_roles AS r ON r.oid = m.roleid JOIN pg_roles AS l ON l.oid = m.member
	WHERE l.rolname = $1 AND r.rolname LIKE 'audittrail\_%' AND r.rolname <> $2`

// Grant returns the statements for the server at opts.URL, and runs them in one transaction where apply is
// set. The login at opts.URL has to be a superuser, or one that may grant the roles.
func Grant(ctx context.Context, opts Options, login string, roles []string, apply bool) ([]string, error) {
	return grant(ctx, opts, apply, func(_ *pgx.Conn, version int) ([]string, error) { return GrantStatements(login, roles, version), nil })
}

// GrantAnalyst is Grant for the login of an analyst's tool. It refuses a login that may act as another of our roles: up
// to PostgreSQL 15 it would have the rights of all of them at once.
func GrantAnalyst(ctx context.Context, opts Options, login string, apply bool) ([]string, error) {
	return grant(ctx, opts, apply, func(conn *pgx.Conn, version int) ([]string, error) {
		var other string
		if err := conn.QueryRow(ctx, mayMoreSQL, login, analystRole).Scan(&other); err != nil {
			return nil, fmt.Errorf("ask what the login may do: %w", err)
		}
		if other != "" {
			return nil, fmt.Errorf("%s may act as %s: make a login for analysts that has no other role of audittrail", login, other)
		}
		return AnalystStatements(login, version), nil
	})
}

func grant(ctx context.Context, opts Options, apply bool, statementsFor func(conn *pgx.Conn, version int) ([]string, error)) ([]string, error) {
	conn, err := connect(ctx, opts)
	if err != nil {
		return nil, err
	}
	defer conn.Close(context.WithoutCancel(ctx)) //nolint:errcheck // what was to be done was acknowledged
	var version int
	if err := conn.QueryRow(ctx, `SELECT current_setting('server_version_num')::int`).Scan(&version); err != nil {
		return nil, fmt.Errorf("ask for the server's version: %w", err)
	}
	statements, err := statementsFor(conn, version)
	if err != nil || !apply {
		return statements, err
	}
	err = pgx.BeginFunc(ctx, conn, func(tx pgx.Tx) error {
		for _, sql := range statements {
			if _, err := tx.Exec(ctx, sql); err != nil {
				return fmt.Errorf("%s: %w", sql, withCure(err))
			}
		}
		return nil
	})
	return statements, err
}

// withCure adds what PostgreSQL itself says beside its message: from version 16 on, for example, who may
// grant a role that another database's owner made.
func withCure(err error) error {
	var refused *pgconn.PgError
	if !errors.As(err, &refused) || refused.Detail == "" && refused.Hint == "" {
		return err
	}
	return fmt.Errorf("%w: %s", err, strings.TrimSpace(refused.Detail+" "+refused.Hint))
}
