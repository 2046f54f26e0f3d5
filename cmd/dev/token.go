package dev

import (
	"time"

	"audittrail/platform/devstack"
	"audittrail/platform/files"
)

// What dev's tokens are, where the configuration does not say.
const (
	issuer        = "audittrail-dev"
	audience      = "audittrail"
	subject       = "dev"
	adminRole     = "admin"
	tokenLifetime = 30 * 24 * time.Hour
)

// issueToken makes this machine's keys the ones that the API trusts, and writes a token for them. Where
// the configuration names an issuer's keys, tokens are that issuer's matter.
func (s *stack) issueToken() error {
	if s.Config.IsSet("auth.jwks_url") || s.Config.IsSet("auth.jwks_file") {
		return nil
	}
	keys, err := devstack.OpenKeys(s.folder.Path(partKeys))
	if err != nil {
		return err
	}
	s.Config.Auth.JWKSFile = keys.JWKSFile()
	if s.Config.Auth.Issuer == "" {
		s.Config.Auth.Issuer = issuer
	}
	if s.Config.Auth.Audience == "" {
		s.Config.Auth.Audience = audience
	}
	s.token, err = keys.Mint(time.Now(), devstack.TokenOptions{
		Issuer: s.Config.Auth.Issuer, Audience: s.Config.Auth.Audience, Subject: subject,
		Roles: []string{adminRole}, RolesClaim: s.Config.Auth.RolesClaim, Lifetime: tokenLifetime,
	})
	if err != nil {
		return err
	}
	return files.Write(s.folder.Path(partToken), []byte(s.token+"\n"), 0o600)
}
