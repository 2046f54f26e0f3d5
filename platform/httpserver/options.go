package httpserver

import (
	"errors"
	"net"
	"net/netip"
	"strconv"

	"audittrail/platform/auth"
	"audittrail/platform/config"
)

// Options are the keys below `http`.
type Options struct {
	Addr             string     `key:"addr" default:":8080" help:"address that the API listens on, host:port; port 0 takes a free one"`
	TLS              TLSOptions `key:"tls"`
	TLSTerminated    bool       `key:"tls_terminated" default:"false" help:"a proxy in front of the API ends TLS: answers tell browsers to stay with https"`
	TrustedProxies   []string   `key:"trusted_proxies" help:"networks (CIDR) of proxies whose X-Forwarded-For is believed, or Forwarded where there is none; a proxy must set one and drop the other"`
	MaxRequests      int        `key:"max_requests" default:"512" help:"requests under way at once; more are answered 503. Waiting feeds take half of them at most"`
	RateLimit        float64    `key:"rate_limit" default:"0" help:"requests a second for one principal in each process, so many at once too; more are answered 429. 0 is no limit"`
	RateLimitAddress float64    `key:"rate_limit_address" default:"20" help:"refusals a second, in each process, of requests without a valid token, for one address (IPv6: a /64); further ones are answered 429, and so is what exceeds 50 times as many of all addresses. 0 is no limit"`
	CORSOrigins      []string   `key:"cors_origins" help:"origins whose pages may use the API from a browser (CORS), as https://console.example.com; none: no other site's pages may"`
}

// TLSOptions are the keys below `http.tls`.
type TLSOptions struct {
	Cert     string `key:"cert" help:"PEM file with the server's certificate chain; read again when it changes; none: plain HTTP"`
	Key      string `key:"key" help:"PEM file with the certificate's private key; read again when it changes"`
	ClientCA string `key:"client_ca" help:"PEM file with the authorities of client certificates; read again when it changes. They should sign for nobody else, since a subject is all that tells their holders apart"`

	ClientRequired   bool                      `key:"client_required" default:"true" help:"with http.tls.client_ca: refuse connections without a client certificate; false: a client may show one or none"`
	ClientPrincipals []auth.CertificateOptions `key:"client_principals" help:"who the holders of client certificates are: a list of {subject, principal, roles}, with the subject as RFC 2253 writes it (CN=billing,O=Example). A request without a token is then the principal's; a token, where one is sent, decides alone. Other certificates open no request by themselves"`
}

// Validate reports every key that can't work.
func (o Options) Validate() error {
	var errs []error
	if !isAddress(o.Addr) {
		errs = append(errs, config.Invalid("addr", "must be host:port, as in :8080 or 127.0.0.1:8080"))
	}
	if (o.TLS.Cert == "") != (o.TLS.Key == "") {
		errs = append(errs, config.Invalid("tls.cert", "needs tls.key, and tls.key needs it"))
	}
	if o.TLS.ClientCA != "" && o.TLS.Cert == "" {
		errs = append(errs, config.Invalid("tls.client_ca", "needs tls.cert and tls.key"))
	}
	if len(o.TLS.ClientPrincipals) > 0 && o.TLS.ClientCA == "" {
		errs = append(errs, config.Invalid("tls.client_principals", "needs tls.client_ca, which says whose certificates count"))
	}
	errs = append(errs, auth.ValidateCertificates("tls.client_principals", o.TLS.ClientPrincipals))
	for _, p := range o.TrustedProxies {
		if _, err := netip.ParsePrefix(p); err != nil {
			errs = append(errs, config.Invalid("trusted_proxies", "must be networks like 10.0.0.0/8"))
		}
	}
	for _, origin := range o.CORSOrigins {
		if !isOrigin(origin) {
			errs = append(errs, config.Invalid("cors_origins", "must be origins like https://console.example.com: no path, no *, and no port that is the scheme's own"))
		}
	}
	if o.MaxRequests < 1 {
		errs = append(errs, config.Invalid("max_requests", "must be at least 1"))
	}
	if o.RateLimit < 0 {
		errs = append(errs, config.Invalid("rate_limit", "must be 0 or more"))
	}
	if o.RateLimitAddress < 0 {
		errs = append(errs, config.Invalid("rate_limit_address", "must be 0 or more"))
	}
	return errors.Join(errs...)
}

func (o Options) secure() bool { return o.TLS.Cert != "" || o.TLSTerminated }

// isAddress reports whether text has the form of an address to listen on; whether it is one of this
// machine's, and free, only listening can tell.
func isAddress(text string) bool {
	_, port, err := net.SplitHostPort(text)
	if err != nil {
		return false
	}
	_, err = strconv.ParseUint(port, 10, 16)
	return err == nil
}
