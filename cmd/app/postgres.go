package app

import (
	"errors"
	"fmt"
	"net"
	"strconv"
	"time"

	"audittrail/platform/config"
	"audittrail/platform/errs"
	"audittrail/platform/postgres"
)

// PostgresOptions are the keys below `postgres`.
type PostgresOptions struct {
	URL           string        `key:"url" secret:"url" help:"the database, postgres://user:password@host:port/name?sslmode=verify-full"`
	ReplicaURLs   []string      `key:"replica_urls" secret:"url" help:"streaming replicas of postgres.url that the API reads from, each by its own address; see OPERATIONS"`
	ReplicaMaxLag time.Duration `key:"replica_max_lag" default:"5s" help:"how far behind the primary a replica may be; one that is further behind is not read"`
	MaxConns      int           `key:"max_conns" default:"8" help:"most connections of each role's pool, and of the API's to each replica"`
}

// Validate reports every key that can't work.
func (o PostgresOptions) Validate() error {
	var bad []error
	if err := postgres.CheckURL(o.URL); o.URL != "" && err != nil {
		bad = append(bad, config.Invalid("url", "%s", errs.Of(err).Detail))
	}
	named := map[string]bool{}
	for i, url := range o.ReplicaURLs {
		key := fmt.Sprintf("replica_urls[%d]", i)
		name, err := serverOf(url)
		switch {
		case err != nil:
			bad = append(bad, config.Invalid(key, "%s", errs.Of(err).Detail))
		case named[name]:
			bad = append(bad, config.Invalid(key, "names %s again", name))
		}
		named[name] = true
	}
	if o.ReplicaMaxLag < time.Second || o.ReplicaMaxLag > time.Hour {
		bad = append(bad, config.Invalid("replica_max_lag", "must be from 1s to 1h"))
	}
	if o.MaxConns < 2 || o.MaxConns > 1000 {
		bad = append(bad, config.Invalid("max_conns", "must be from 2 to 1000"))
	}
	return errors.Join(bad...)
}

// serverOf returns the one server of a replica's URL, host:port.
func serverOf(url string) (string, error) {
	c, err := postgres.Config(postgres.PoolOptions{URL: url})
	if err != nil {
		return "", err
	}
	for _, other := range c.Fallbacks { // the same server without TLS is one, by sslmode
		if other.Host != c.Host || other.Port != c.Port {
			return "", errs.New(errs.Invalid, "invalid_configuration", "must name one server: what is found out about it must hold for all connections")
		}
	}
	return net.JoinHostPort(c.Host, strconv.Itoa(int(c.Port))), nil
}
