package devstack

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/lestrrat-go/jwx/v2/jwk"
	"github.com/lestrrat-go/jwx/v2/jwt"
)

func TestTokenIsValidByTheJWKSAlsoAfterARestart(t *testing.T) {
	dir := t.TempDir()
	keys, err := OpenKeys(dir)
	if err != nil {
		t.Fatal(err)
	}
	token, err := keys.Mint(time.Now(), TokenOptions{
		Issuer: "audittrail-dev", Audience: "audittrail", Subject: "dev", Roles: []string{"admin"}, Lifetime: time.Hour,
	})
	if err != nil {
		t.Fatal(err)
	}
	keys, err = OpenKeys(dir)
	if err != nil {
		t.Fatal(err)
	}
	set, err := jwk.ReadFile(keys.JWKSFile())
	if err != nil {
		t.Fatal(err)
	}
	parsed, err := jwt.Parse([]byte(token), jwt.WithKeySet(set), jwt.WithIssuer("audittrail-dev"), jwt.WithAudience("audittrail"))
	if err != nil {
		t.Fatal(err)
	}
	if roles, _ := parsed.Get("roles"); parsed.Subject() != "dev" || len(roles.([]any)) != 1 {
		t.Fatalf("subject %q, roles %v", parsed.Subject(), roles)
	}
	key, _ := set.Key(0)
	if _, secret := key.(jwk.ECDSAPrivateKey); secret {
		t.Fatal("the JWKS holds the private key")
	}
}

func TestPrivateKeyIsReadableByItsOwnerOnly(t *testing.T) {
	dir := t.TempDir()
	if _, err := OpenKeys(dir); err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(filepath.Join(dir, privateKeyFile))
	if err != nil {
		t.Fatal(err)
	}
	if mode := info.Mode().Perm(); mode != 0o600 {
		t.Fatalf("mode is %o", mode)
	}
}
