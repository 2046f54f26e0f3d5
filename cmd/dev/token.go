package dev

import (
	"time"

	"audittrail/platform/auth"
	"audittrail/platform/devstack"
	"audittrail/platform/files"
)

// What dev's tokens are, where the configuration does not say.
const (
	issuer    = "audittrail-dev"
	audience  = "audittrail"
	subject   = "dev"
	adminRole = "admin"
)

// TokenLifetime is how long dev's own token is valid, and the longest that Mint makes.
const TokenLifetime = 30 * 24 * time.Hour

// issueToken makes this machine's keys the ones that the API trusts, and writes a token for them. Where
// the configuration names an issuer's keys, tokens are that issuer's matter.
func (s *stack) issueToken() error {
	a := s.Config.Auth
	if a.JWKSURL != "" || a.JWKSFile != "" || len(a.Issuers) > 0 || auth.Discovers(a.Issuer) {
		return nil
	}
	keys, err := devstack.OpenKeys(s.folder.Path(partKeys))
	if err != nil {
		return err
	}
	s.Config.Auth.JWKSFile = keys.JWKSFile()
	localNames(&s.Config.Auth)
	s.token, err = keys.Mint(time.Now(), devstack.TokenOptions{
		Issuer: s.Config.Auth.Issuer, Audience: s.Config.Auth.Audience, Subject: subject,
		Roles: []string{adminRole}, RolesClaim: s.Config.Auth.RolesClaim, Lifetime: TokenLifetime,
	})
	if err != nil {
		return err
	}
	return files.Write(s.folder.Path(partToken), []byte(s.token+"\n"), 0o600)
}

// localNames gives the issuer of this machine its names, where the configuration has none.
func localNames(o *auth.Options) {
	if o.Issuer == "" {
		o.Issuer = issuer
	}
	if o.Audience == "" {
		o.Audience = audience
	}
}
