// Package auth checks bearer tokens: JWTs (RFC 7519, and RFC 8725's advice on them) signed by a key of a
// JSON Web Key Set (RFC 7517) from a file or a URL.
//
// It says who a caller is, never what the caller may do. It fails closed: without keys, or with keys that
// have been out of touch for too long, nobody is let in. No error of it quotes a token, and a token is
// never logged.
package auth

import (
	"context"
	"errors"
	"net/netip"
	"net/url"
	"time"

	"audittrail/platform/config"
)

// Options are the keys below `auth`.
type Options struct {
	Issuer     string `key:"issuer" help:"the iss claim that tokens must have, exactly"`
	Audience   string `key:"audience" help:"the aud claim that tokens must have or contain, exactly"`
	JWKSURL    string `key:"jwks_url" help:"where the issuer publishes its keys, https (http on loopback only); this or auth.jwks_file"`
	JWKSFile   string `key:"jwks_file" help:"file with the issuer's public keys as a JSON Web Key Set, read again when it changes; this or auth.jwks_url"`
	CA         string `key:"ca" help:"file with the authorities of the certificate at auth.jwks_url (PEM); the system's, or those of SSL_CERT_FILE, where it is empty"`
	RolesClaim string `key:"roles_claim" default:"roles" help:"the claim that lists the caller's roles: its name, or a path such as realm_access.roles; a text is split at spaces, as in scope"`
}

// Validate reports every key that can't work. A program without the api role needs none of them.
func (o Options) Validate() error {
	var errs []error
	if o.JWKSURL != "" && o.JWKSFile != "" {
		errs = append(errs, config.Invalid("jwks_url", "can't be given together with jwks_file"))
	}
	if o.JWKSURL != "" && !trustworthy(o.JWKSURL) {
		errs = append(errs, config.Invalid("jwks_url", "must be an https URL; http is for loopback addresses only"))
	}
	if o.CA != "" && o.JWKSURL == "" {
		errs = append(errs, config.Invalid("ca", "is given, but jwks_url is not"))
	}
	if o.RolesClaim == "" {
		errs = append(errs, config.Invalid("roles_claim", "must not be empty"))
	}
	return errors.Join(errs...)
}

// complete reports what a verifier can't do without.
func (o Options) complete() error {
	errs := []error{o.Validate()}
	if o.Issuer == "" {
		errs = append(errs, config.Invalid("auth.issuer", "must be given: the api role wants tokens of one issuer"))
	}
	if o.Audience == "" {
		errs = append(errs, config.Invalid("auth.audience", "must be given: a token for another service must not open this one"))
	}
	if o.JWKSURL == "" && o.JWKSFile == "" {
		errs = append(errs, config.Invalid("auth.jwks_url", "must be given, or auth.jwks_file"))
	}
	return errors.Join(errs...)
}

// trustworthy says whether keys from this URL can't be swapped on their way.
func trustworthy(raw string) bool {
	u, err := url.Parse(raw)
	if err != nil || u.Hostname() == "" {
		return false
	}
	if u.Scheme == "https" {
		return true
	}
	ip, err := netip.ParseAddr(u.Hostname())
	loopback := u.Hostname() == "localhost" || err == nil && ip.IsLoopback()
	return u.Scheme == "http" && loopback
}

// Principal is a caller whose token was accepted.
type Principal struct {
	Subject   string    // the sub claim; client_id where there is none
	Roles     []string  // what the issuer's roles claim lists, in its order; at most 100
	ExpiresAt time.Time // of the token
}

// AcceptedUntil returns the moment from which the token is refused: its expiry, and what clocks may differ.
// Answers that last longer end then.
func (p Principal) AcceptedUntil() time.Time { return p.ExpiresAt.Add(skew) }

type principalKey struct{}

// WithPrincipal returns a context that carries p.
func WithPrincipal(ctx context.Context, p Principal) context.Context {
	return context.WithValue(ctx, principalKey{}, p)
}

// PrincipalOf answers who is asking; false where no token was accepted.
func PrincipalOf(ctx context.Context) (Principal, bool) {
	p, ok := ctx.Value(principalKey{}).(Principal)
	return p, ok
}
