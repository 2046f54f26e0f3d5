// Package postgres opens connections to PostgreSQL: each with its role, name and time limits as
// start-up parameters, which survive RESET ROLE and DISCARD ALL, or set by statements where a pooler drops those.
//
// It knows no table of ours and runs no SQL but what asks a server about itself. A connection pooler
// between us and the server must be in session mode.
package postgres

import (
	"maps"
	"net/url"
	"strings"

	"github.com/jackc/pgx/v5"

	"audittrail/platform/errs"
)

// CheckURL answers what is wrong with a connection string: a URL (postgres://…) or keywords and values
// (host=… user=…). No error of it quotes the string, since that holds a password.
func CheckURL(connection string) error {
	_, err := parse(connection)
	return err
}

// parse reads a connection string. Its settings are pinned, so that every pool and command reads and writes
// values alike.
func parse(connection string) (*pgx.ConnConfig, error) {
	if connection == "" {
		return nil, errs.New(errs.Invalid, "invalid_configuration", "is not set").InField("postgres.url")
	}
	config, err := pgx.ParseConfig(connection)
	if err != nil {
		return nil, errs.New(errs.Invalid, "invalid_configuration", "%s", whyInvalid(connection)).InField("postgres.url")
	}
	maps.Copy(config.RuntimeParams, pinned())
	return config, nil
}

// whyInvalid explains what it can without the library's text, which may hold pieces of the password.
func whyInvalid(connection string) string {
	if !strings.Contains(connection, "://") {
		return `is neither a URL (postgres://user:password@host:5432/database) nor "keyword=value" pairs`
	}
	u, err := url.Parse(connection)
	if err != nil {
		return "is not a URL; special characters in user name and password must be percent-encoded"
	}
	if u.Scheme != "postgres" && u.Scheme != "postgresql" {
		return "must begin with postgres:// or postgresql://"
	}
	switch mode := u.Query().Get("sslmode"); mode {
	case "", "disable", "allow", "prefer", "require", "verify-ca", "verify-full":
	default:
		return "has an unknown sslmode: disable, allow, prefer, require, verify-ca and verify-full are known"
	}
	for _, file := range []string{"sslrootcert", "sslcert", "sslkey"} {
		if u.Query().Get(file) != "" {
			return "has a part that can't be used; check the port, and that " + file + " names a readable PEM file"
		}
	}
	return "has a part that can't be used; check the host, the port and the parameters"
}

// pinned returns the settings that change how values and statements are read or written, or which rows
// they see. A login or a database may have others as defaults; a start-up parameter outranks them.
func pinned() map[string]string {
	return map[string]string{
		"client_encoding":               "UTF8",
		"datestyle":                     "ISO, MDY",
		"intervalstyle":                 "postgres",
		"timezone":                      "UTC",
		"bytea_output":                  "hex",
		"extra_float_digits":            "1",
		"standard_conforming_strings":   "on",
		"array_nulls":                   "on",
		"transform_null_equals":         "off",
		"row_security":                  "on",
		"default_transaction_isolation": "read committed",
	}
}
