package app

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net"
	"net/netip"
	"os"
	"slices"
	"strconv"
	"strings"

	"audittrail/modules/ingest"
	"audittrail/platform/config"
)

// Check reports everything that keeps the chosen roles from starting: keys that are missing, keys that
// contradict each other, TLS files that can't be used, and keys that must not be ignored. It connects to
// nothing. The error is a *config.Error.
func Check(c Config) error {
	roles := chosen(c)
	if len(roles) == 0 {
		return &config.Error{Problems: []error{
			config.Invalid("roles", "must name at least one of %s", strings.Join(roleNames(), ", ")),
		}}
	}
	var all needs
	var keys []string
	for _, r := range roles {
		all.kafka, all.tokens, all.listens = all.kafka || r.needs.kafka, all.tokens || r.needs.tokens, all.listens || r.needs.listens
		for _, k := range r.needs.keys() {
			if !slices.Contains(keys, k) {
				keys = append(keys, k)
			}
		}
	}
	return merge(c.Require(keys...), c.contradictions(all))
}

// contradictions are what no section can see by itself, what a role needs of the issuers of tokens, and what
// depends on files, in a *config.Error.
func (c Config) contradictions(n needs) error {
	problems := c.checkFiles("admin.tls", tlsFiles{cert: c.Admin.TLS.Cert, key: c.Admin.TLS.Key})
	problems = append(problems, c.withOrigin("", errors.Join(c.checkHops(n.kafka)...))...)
	problems = append(problems, c.withOrigin("", c.checkEncryption())...)
	if n.kafka {
		if len(c.Kafka.Topics) > 0 { // else Require has said so
			problems = append(problems, c.withOrigin("", ingest.CheckTopics(c.Kafka.Topics, c.Ingest.DLQSuffix))...)
		}
		problems = append(problems, c.checkFiles("kafka.tls", tlsFiles{cert: c.Kafka.TLS.Cert, key: c.Kafka.TLS.Key, ca: c.Kafka.TLS.CA, caKey: "ca"})...)
	}
	if n.tokens {
		problems = append(problems, c.withOrigin("", c.Auth.Complete())...)
	}
	if n.listens {
		problems = append(problems, c.withOrigin("", c.checkListener())...)
		if sameListener(c.HTTP.Addr, c.Admin.Addr) {
			problems = append(problems, c.withOrigin("", config.Invalid("admin.addr", "must not be the address of http.addr, %s", c.HTTP.Addr))...)
		}
		problems = append(problems, c.checkFiles("auth", tlsFiles{ca: c.Auth.CA, caKey: "ca"})...)
		problems = append(problems, c.checkFiles("redis", tlsFiles{ca: c.Redis.CA, caKey: "ca"})...)
		problems = append(problems, c.checkFiles("http.tls", tlsFiles{cert: c.HTTP.TLS.Cert, key: c.HTTP.TLS.Key, ca: c.HTTP.TLS.ClientCA, caKey: "client_ca"})...)
	}
	if len(problems) == 0 {
		return nil
	}
	return &config.Error{Problems: problems}
}

// withOrigin takes apart problems that were joined, and notes where the values came from.
func (c Config) withOrigin(section string, err error) []error {
	if err == nil {
		return nil
	}
	if joined, ok := err.(interface{ Unwrap() []error }); ok {
		var all []error
		for _, one := range joined.Unwrap() {
			all = append(all, c.withOrigin(section, one)...)
		}
		return all
	}
	var invalid *config.InvalidError
	if errors.As(err, &invalid) {
		if section != "" {
			invalid.Key = section + "." + invalid.Key
		}
		if c.loaded != nil {
			invalid.Origin = c.loaded.Origin(invalid.Key)
		}
	}
	return []error{err}
}

// tlsFiles are the files of a TLS section: a certificate with its key, and authorities.
type tlsFiles struct {
	cert, key, ca string
	caKey         string // the authorities' key in the section
}

// checkFiles reports the files that can't be used as they are now.
func (c Config) checkFiles(section string, f tlsFiles) []error {
	return c.withOrigin(section, errors.Join(f.checkPair(), f.checkAuthorities()))
}

func (f tlsFiles) checkPair() error {
	if f.cert == "" || f.key == "" {
		return nil // that one of them lacks is the section's to say
	}
	_, noCert := os.ReadFile(f.cert)
	_, noKey := os.ReadFile(f.key)
	var bad []error
	if noCert != nil {
		bad = append(bad, config.Invalid("cert", "must be a file that can be read: %v", noCert))
	}
	if noKey != nil {
		bad = append(bad, config.Invalid("key", "must be a file that can be read: %v", noKey))
	}
	if len(bad) > 0 {
		return errors.Join(bad...)
	}
	if _, err := tls.LoadX509KeyPair(f.cert, f.key); err != nil {
		return config.Invalid("cert", "must be a PEM certificate, and key its private key: %v", err)
	}
	return nil
}

func (f tlsFiles) checkAuthorities() error {
	if f.ca == "" {
		return nil
	}
	pem, err := os.ReadFile(f.ca)
	if err != nil {
		return config.Invalid(f.caKey, "must be a file that can be read: %v", err)
	}
	if !x509.NewCertPool().AppendCertsFromPEM(pem) {
		return config.Invalid(f.caKey, "must be a file with PEM certificates; %s holds none", f.ca)
	}
	return nil
}

// sameListener tells whether one address can't be listened on because of the other. Port 0 is a free one.
func sameListener(a, b string) bool {
	hostA, portA, errA := net.SplitHostPort(a)
	hostB, portB, errB := net.SplitHostPort(b)
	if errA != nil || errB != nil {
		return false // the sections have said so
	}
	numberA, errA := strconv.ParseUint(portA, 10, 16)
	numberB, errB := strconv.ParseUint(portB, 10, 16)
	if errA != nil || errB != nil || numberA != numberB || numberA == 0 {
		return false
	}
	return everywhere(hostA) || everywhere(hostB) || literal(hostA) == literal(hostB)
}

// literal is the address that a host is listened on by, as far as that is known without asking.
func literal(host string) string {
	if host == "localhost" {
		return "127.0.0.1"
	}
	return host
}

// everywhere tells whether a host stands for all addresses of the machine.
func everywhere(host string) bool {
	if host == "" {
		return true
	}
	ip, err := netip.ParseAddr(host)
	return err == nil && ip.IsUnspecified()
}
