package app

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/netip"

	"audittrail/platform/config"
	"audittrail/platform/postgres"
)

// SecurityOptions are the keys below `security`.
type SecurityOptions struct {
	RequireTLS bool `key:"require_tls" default:"false" help:"refuse to start where bytes would leave this machine in plain text, to PostgreSQL, Kafka or Redis; false: serve warns of it"`
}

// checkListener refuses an API in plain text that others than this machine can reach: its tokens and answers could be
// read on their way. The operators' port may be plain, since kubelets and Prometheus ask it.
func (c Config) checkListener() error {
	if c.HTTP.TLS.Cert != "" || c.HTTP.TLSTerminated || onLoopback(c.HTTP.Addr) {
		return nil
	}
	return config.Invalid("http.addr", "must be a loopback address such as 127.0.0.1:8080 while the API speaks plain HTTP, not %s: "+
		"give http.tls.cert and http.tls.key, or set http.tls_terminated: true where a proxy in front ends TLS", c.HTTP.Addr)
}

// hop is a way out of this process that is not as safe as it could be.
type hop struct {
	key    string // of the configuration
	danger string // what is wrong, and how to mend it
	plain  bool   // in plain text
}

// hops returns the unsafe ways beyond loopback that the roles use. Kafka's are none without `kafka`.
func (c Config) hops(kafka bool) []hop {
	var all []hop
	servers := [][2]string{{"postgres.url", c.Postgres.URL}}
	for i, url := range c.Postgres.ReplicaURLs {
		servers = append(servers, [2]string{fmt.Sprintf("postgres.replica_urls[%d]", i), url})
	}
	for _, s := range servers {
		switch key := s[0]; postgres.Transport(s[1]) {
		case postgres.Plain:
			all = append(all, hop{key, "lets bytes go to PostgreSQL in plain text: give it sslmode=verify-full and sslrootcert", true})
		case postgres.Unverified:
			all = append(all, hop{key, "has TLS without checking who the server is: give it sslmode=verify-full and sslrootcert", false})
		case postgres.Safe:
		}
	}
	switch {
	case c.Encryption.KeysURL == "":
	case postgres.Transport(c.Encryption.KeysURL) == postgres.Plain:
		all = append(all, hop{"encryption.keys_url", "lets bytes go to PostgreSQL in plain text: give it sslmode=verify-full and sslrootcert", true})
	case postgres.Transport(c.Encryption.KeysURL) == postgres.Unverified:
		all = append(all, hop{"encryption.keys_url", "has TLS without checking who the server is: give it sslmode=verify-full and sslrootcert", false})
	}
	if address, isTLS := c.Redis.Address(); address != "" && !isTLS && !onLoopback(address) {
		all = append(all, hop{"redis.url", "lets bytes go to Redis in plain text: begin it with rediss://", true})
	}
	if !kafka || c.Kafka.TLS.Enabled {
		return all
	}
	for _, broker := range c.Kafka.Brokers {
		if !onLoopback(broker) {
			return append(all, hop{"kafka.tls.enabled", fmt.Sprintf("is false, so bytes go to the broker %s in plain text: set it to true, with kafka.tls.ca where the authority is your own", broker), true})
		}
	}
	return all
}

// checkHops refuses plain text with security.require_tls.
func (c Config) checkHops(kafka bool) []error {
	if !c.Security.RequireTLS {
		return nil
	}
	var problems []error
	for _, h := range c.hops(kafka) {
		if h.plain {
			problems = append(problems, config.Invalid(h.key, "%s (security.require_tls is true)", h.danger))
		}
	}
	return problems
}

// warnHops says, once at start, which ways are not safe.
func warnHops(ctx context.Context, c Config, log *slog.Logger) {
	var kafka bool
	for _, r := range chosen(c) {
		kafka = kafka || r.needs.kafka
	}
	for _, h := range c.hops(kafka) {
		log.WarnContext(ctx, "a connection is not secure", "key", h.key, "reason", h.key+" "+h.danger)
	}
}

// onLoopback reports whether only this machine reaches an address, host:port.
func onLoopback(address string) bool {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return false
	}
	ip, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && ip.IsLoopback()
}
