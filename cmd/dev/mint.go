package dev

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"audittrail/platform/auth"
	"audittrail/platform/config"
	"audittrail/platform/devstack"
)

// TokenOptions say for whom Mint makes a token.
type TokenOptions struct {
	Dir     string // dev's data folder, with the key
	Subject string
	Roles   []string
	Expires time.Duration // from now
}

// Mint signs a token with the key in dev's data folder, for an API that trusts this key as trust says.
func Mint(trust auth.Options, opts TokenOptions) (string, error) {
	dir := filepath.Join(opts.Dir, partKeys)
	keys, err := devstack.ReadKeys(dir)
	if errors.Is(err, os.ErrNotExist) {
		return "", fmt.Errorf("there is no key in %s: start 'audittrail dev' once, or name its folder with --data", dir)
	}
	if err != nil {
		return "", err
	}
	if err := isLocal(trust, keys); err != nil {
		return "", &config.Error{Problems: []error{err}}
	}
	localNames(&trust)
	return keys.Mint(time.Now(), devstack.TokenOptions{
		Issuer: trust.Issuer, Audience: trust.Audience, Subject: opts.Subject,
		Roles: opts.Roles, RolesClaim: trust.RolesClaim, Lifetime: opts.Expires,
	})
}

// isLocal refuses to speak for an issuer that is not this machine's: one with a URL or with other keys. Its API
// would not accept the token, and a token in its name is nothing to have lying about.
func isLocal(trust auth.Options, keys *devstack.Keys) error {
	const ask = "so the issuer is not local: ask it for a token"
	switch {
	case strings.Contains(trust.Issuer, "://"):
		return config.Invalid("auth.issuer", "is a URL, %s", ask)
	case trust.JWKSURL != "":
		return config.Invalid("auth.jwks_url", "is given, %s", ask)
	case len(trust.Issuers) > 0:
		return config.Invalid("auth.issuers", "is given, %s", ask)
	case trust.JWKSFile != "" && !sameFile(trust.JWKSFile, keys.JWKSFile()):
		return config.Invalid("auth.jwks_file", "is not %s, %s", keys.JWKSFile(), ask)
	}
	return nil
}

func sameFile(a, b string) bool {
	one, errA := os.Stat(a)
	other, errB := os.Stat(b)
	return errA == nil && errB == nil && os.SameFile(one, other)
}
