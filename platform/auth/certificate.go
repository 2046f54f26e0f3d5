package auth

import (
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"errors"
	"fmt"
	"slices"
	"time"

	"audittrail/platform/config"
)

// CertificateOptions says who the holder of a client certificate is.
type CertificateOptions struct {
	Subject   string   `key:"subject"` // as RFC 2253 writes it: "CN=billing,O=Example"
	Principal string   `key:"principal"`
	Roles     []string `key:"roles"`
}

// ValidateCertificates reports every entry of the list under key that can't work.
func ValidateCertificates(key string, list []CertificateOptions) error {
	var errs []error
	seen := map[string]bool{}
	for i, o := range list {
		invalid := func(member, text string) {
			errs = append(errs, config.Invalid(fmt.Sprintf("%s[%d].%s", key, i, member), "%s", text))
		}
		if o.Subject == "" {
			invalid("subject", `must be a certificate's subject, as in "CN=billing,O=Example"`)
		}
		if seen[o.Subject] {
			invalid("subject", "is that of an earlier entry in the list")
		}
		seen[o.Subject] = true
		if o.Principal == "" {
			invalid("principal", "must not be empty")
		}
		if slices.Contains(o.Roles, "") {
			invalid("roles", "must not hold an empty name")
		}
	}
	return errors.Join(errs...)
}

// Certificates finds the principals of client certificates. The zero value knows none.
type Certificates struct {
	bySubject map[string]CertificateOptions
	now       func() time.Time
}

// NewCertificates makes one of a valid list.
func NewCertificates(list []CertificateOptions) Certificates {
	c := Certificates{bySubject: map[string]CertificateOptions{}, now: time.Now}
	for _, o := range list {
		c.bySubject[o.Subject] = o
	}
	return c
}

// Principal returns whom a connection's client certificate stands for; false where it showed none, or one that is
// mapped to nobody. The TLS handshake has verified the certificate; a connection may outlive it, so its end is
// looked at again.
func (c Certificates) Principal(state *tls.ConnectionState) (Principal, bool) {
	if state == nil || len(state.VerifiedChains) == 0 {
		return Principal{}, false
	}
	cert := state.PeerCertificates[0]
	o, ok := c.bySubject[subjectOf(cert)]
	if !ok || c.now().After(cert.NotAfter) {
		return Principal{}, false
	}
	return Principal{Subject: o.Principal, Roles: slices.Clone(o.Roles), ExpiresAt: cert.NotAfter}, true
}

// subjectOf spells a certificate's subject as RFC 2253 does. It is the whole sequence of names: pkix.Name keeps one
// common name of several, and two subjects would be one.
func subjectOf(cert *x509.Certificate) string {
	var names pkix.RDNSequence
	if rest, err := asn1.Unmarshal(cert.RawSubject, &names); err != nil || len(rest) > 0 {
		return ""
	}
	return names.String()
}
