package cmd

import (
	"time"

	"audittrail/platform/devstack"
	"audittrail/platform/files"
)

// What dev's tokens are, where the configuration does not say.
const (
	devIssuer        = "audittrail-dev"
	devAudience      = "audittrail"
	devSubject       = "dev"
	devRole          = "admin"
	devTokenLifetime = 30 * 24 * time.Hour
)

// issueToken makes this machine's keys the ones that the API trusts, and writes a token for them. Where
// the configuration names an issuer's keys, tokens are that issuer's matter.
func (d *dev) issueToken() error {
	if d.cfg.IsSet("auth.jwks_url") || d.cfg.IsSet("auth.jwks_file") {
		return nil
	}
	keys, err := devstack.OpenKeys(d.folder.Path(partKeys))
	if err != nil {
		return err
	}
	d.cfg.Auth.JWKSFile = keys.JWKSFile()
	if d.cfg.Auth.Issuer == "" {
		d.cfg.Auth.Issuer = devIssuer
	}
	if d.cfg.Auth.Audience == "" {
		d.cfg.Auth.Audience = devAudience
	}
	d.token, err = keys.Mint(time.Now(), devstack.TokenOptions{
		Issuer: d.cfg.Auth.Issuer, Audience: d.cfg.Auth.Audience, Subject: devSubject,
		Roles: []string{devRole}, RolesClaim: d.cfg.Auth.RolesClaim, Lifetime: devTokenLifetime,
	})
	if err != nil {
		return err
	}
	return files.Write(d.folder.Path(partToken), []byte(d.token+"\n"), 0o600)
}
