package postgres

import (
	"crypto/tls"
	"net/netip"
	"strings"

	"github.com/jackc/pgx/v5"
)

// Security is how bytes travel between us and a server.
type Security int

// The ways, the worst last.
const (
	Safe       Security = iota // TLS with a server that is checked, or within this machine
	Unverified                 // TLS with a server that may be anybody's
	Plain                      // readable for others
)

// Transport returns the worst way that a connection string allows: sslmode=prefer goes on without TLS where the
// server has none. What is no connection string is Safe, since nothing connects by it.
func Transport(connection string) Security {
	c, err := pgx.ParseConfig(connection)
	if err != nil {
		return Safe
	}
	worst := transport(c.Host, c.TLSConfig)
	for _, f := range c.Fallbacks {
		worst = max(worst, transport(f.Host, f.TLSConfig))
	}
	return worst
}

func transport(host string, c *tls.Config) Security {
	ip, err := netip.ParseAddr(host)
	switch {
	case strings.HasPrefix(host, "/"), strings.HasPrefix(host, "@"), host == "localhost", err == nil && ip.IsLoopback():
		return Safe // a socket of this machine
	case c == nil:
		return Plain
	case c.InsecureSkipVerify && c.VerifyPeerCertificate == nil: // verify-ca has the latter
		return Unverified
	}
	return Safe
}
