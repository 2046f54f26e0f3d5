package auth

import (
	"errors"
	"fmt"
	"net/netip"
	"net/url"
	"slices"
	"strings"

	"audittrail/platform/config"
)

// Options are the keys below `auth`. The single keys describe one issuer, and Issuers lists further ones.
type Options struct {
	Issuer     string          `key:"issuer" help:"the iss claim that tokens must have, exactly; its keys come from auth.jwks_url, auth.jwks_file, or the address that the issuer's /.well-known/openid-configuration names"`
	Audience   string          `key:"audience" help:"the aud claim that tokens must have or contain, exactly"`
	JWKSURL    string          `key:"jwks_url" help:"where the issuer publishes its keys, https (http on loopback only); this or auth.jwks_file"`
	JWKSFile   string          `key:"jwks_file" help:"file with the issuer's public keys as a JSON Web Key Set, read again when it changes; this or auth.jwks_url"`
	CA         string          `key:"ca" help:"file with the authorities of the certificates of all issuers (PEM); the system's, or those of SSL_CERT_FILE, where it is empty"`
	RolesClaim string          `key:"roles_claim" default:"roles" help:"the claim that lists the caller's roles: its name, or a path such as realm_access.roles; a text is split at spaces, as in scope"`
	Issuers    []IssuerOptions `key:"issuers" help:"further issuers: {issuer, audience, jwks_url, jwks_file, roles_claim, principal_prefix}, as above; without roles_claim, auth.roles_claim counts; principal_prefix is put before sub, so that callers of two issuers are never taken for one: ISSUER# where it is not given, nothing where it is -"`
}

// IssuerOptions describe one issuer.
type IssuerOptions struct {
	Issuer     string `key:"issuer"`
	Audience   string `key:"audience"`
	JWKSURL    string `key:"jwks_url"`
	JWKSFile   string `key:"jwks_file"`
	RolesClaim string `key:"roles_claim"`
	Prefix     string `key:"principal_prefix"`
}

// Validate reports every key that can't work. A program without the api role needs none of them.
func (o Options) Validate() error {
	var errs []error
	if o.RolesClaim == "" {
		errs = append(errs, config.Invalid("roles_claim", "must not be empty"))
	}
	all := o.issuers()
	if o.CA != "" && !slices.ContainsFunc(all, func(one issuerOptions) bool { return one.JWKSFile == "" }) {
		errs = append(errs, config.Invalid("ca", "is given, but no issuer is asked for its keys"))
	}
	seen := map[string]bool{}
	for i, one := range all {
		if one.JWKSURL != "" && one.JWKSFile != "" {
			errs = append(errs, config.Invalid(one.key("jwks_url"), "can't be given together with jwks_file"))
		}
		if one.JWKSURL != "" && !trustworthy(one.JWKSURL) {
			errs = append(errs, config.Invalid(one.key("jwks_url"), "must be an https URL; http is for loopback addresses only"))
		}
		if one.Issuer != "" && seen[one.Issuer] {
			errs = append(errs, config.Invalid(one.key("issuer"), "names an issuer a second time; a token goes to the one that it names"))
		}
		seen[one.Issuer] = true
		if !isName(one.Prefix) {
			errs = append(errs, config.Invalid(one.key("principal_prefix"), "must be at most %d characters without control characters", maxName))
		}
		if one.prefix() != "" && slices.ContainsFunc(all[:i], func(other issuerOptions) bool { return overlap(one.prefix(), other.prefix()) }) {
			errs = append(errs, config.Invalid(one.key("principal_prefix"), "must neither begin another issuer's nor begin with it"))
		}
	}
	return errors.Join(errs...)
}

// Complete reports, beside what Validate does, what a verifier can't do without. The errors name whole keys.
func (o Options) Complete() error {
	all := o.issuers()
	if len(all) == 0 {
		return config.Invalid("auth.issuer", "must be given, or auth.issuers: the api role wants tokens of an issuer")
	}
	var errs []error
	for _, one := range all {
		if one.Issuer == "" {
			errs = append(errs, config.Invalid("auth."+one.key("issuer"), "must be given: the api role wants tokens of an issuer"))
		}
		if one.Audience == "" {
			errs = append(errs, config.Invalid("auth."+one.key("audience"), "must be given: a token for another service must not open this one"))
		}
		if one.Issuer != "" && one.JWKSURL == "" && one.JWKSFile == "" && !trustworthy(one.Issuer) {
			errs = append(errs, config.Invalid("auth."+one.key("jwks_url"), "must be given, or jwks_file: the issuer is no https URL whose metadata could name its keys"))
		}
	}
	return errors.Join(errs...)
}

// noPrefix, as a principal_prefix, leaves sub as it is.
const noPrefix = "-"

// prefix returns what comes before sub in the names of the issuer's callers.
func (o IssuerOptions) prefix() string {
	if o.Prefix == noPrefix {
		return ""
	}
	return o.Prefix
}

// overlap reports whether one of two prefixes begins the other. No prefix overlaps with none.
func overlap(a, b string) bool {
	return a != "" && b != "" && (strings.HasPrefix(a, b) || strings.HasPrefix(b, a))
}

// issuerOptions are one issuer's options and where they stand.
type issuerOptions struct {
	IssuerOptions
	section string // "" for the single keys, "issuers[0]." for the first entry of the list
}

func (o issuerOptions) key(name string) string { return o.section + name }

// issuers lists the issuer of the single keys, where one of them is given, and those of the list.
func (o Options) issuers() []issuerOptions {
	var all []issuerOptions
	if o.Issuer != "" || o.Audience != "" || o.JWKSURL != "" || o.JWKSFile != "" {
		all = append(all, issuerOptions{IssuerOptions{o.Issuer, o.Audience, o.JWKSURL, o.JWKSFile, o.RolesClaim, noPrefix}, ""})
	}
	for i, one := range o.Issuers {
		if one.RolesClaim == "" {
			one.RolesClaim = o.RolesClaim
		}
		if one.Prefix == "" {
			one.Prefix = one.Issuer + "#"
		}
		all = append(all, issuerOptions{one, fmt.Sprintf("issuers[%d].", i)})
	}
	return all
}

// Discovers reports whether an issuer of this name, without jwks_url and jwks_file, is asked for its metadata.
func Discovers(issuer string) bool { return trustworthy(issuer) }

// trustworthy says whether keys from this URL can't be swapped on their way.
func trustworthy(raw string) bool {
	u, err := url.Parse(raw)
	if err != nil || u.Hostname() == "" {
		return false
	}
	return u.Scheme == "https" || u.Scheme == "http" && loopback(u.Hostname())
}

func loopback(host string) bool {
	ip, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && ip.IsLoopback()
}
