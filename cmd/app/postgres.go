package app

import (
	"errors"

	"audittrail/platform/config"
	"audittrail/platform/errs"
	"audittrail/platform/postgres"
)

// PostgresOptions are the keys below `postgres`.
type PostgresOptions struct {
	URL         string   `key:"url" secret:"url" help:"the database, postgres://user:password@host:port/name?sslmode=verify-full"`
	ReplicaURLs []string `key:"replica_urls" secret:"url" help:"not in effect yet. Replicas that reading may use"`
	MaxConns    int      `key:"max_conns" default:"8" help:"most connections of each role's pool"`
}

// Validate reports every key that can't work.
func (o PostgresOptions) Validate() error {
	var bad []error
	if err := postgres.CheckURL(o.URL); o.URL != "" && err != nil {
		bad = append(bad, config.Invalid("url", "%s", errs.Of(err).Detail))
	}
	if o.MaxConns < 2 || o.MaxConns > 1000 {
		bad = append(bad, config.Invalid("max_conns", "must be from 2 to 1000"))
	}
	return errors.Join(bad...)
}
