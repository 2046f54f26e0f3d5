// Package authtest is an issuer of tokens for tests. Its keys live for one test.
package authtest

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"os"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"github.com/lestrrat-go/jwx/v2/jwa"
	"github.com/lestrrat-go/jwx/v2/jwk"
	"github.com/lestrrat-go/jwx/v2/jws"

	"audittrail/platform/auth"
)

// Issuer signs tokens with ES256 and keeps its key set in a file.
type Issuer struct {
	t    testing.TB
	file string
	key  jwk.Key   // the private one
	keys int       // made so far
	old  []jwk.Key // public keys of earlier times that are still published
}

// NewIssuer makes an issuer with one key.
func NewIssuer(t testing.TB) *Issuer {
	t.Helper()
	i := &Issuer{t: t, file: filepath.Join(t.TempDir(), "jwks.json")}
	i.Rotate()
	return i
}

// Options are those of a verifier that trusts the issuer.
func (i *Issuer) Options() auth.Options {
	return auth.Options{Issuer: "https://issuer.test", Audience: "audittrail", JWKSFile: i.file, RolesClaim: "roles"}
}

// Rotate makes a new key, signs with it from now on, and forgets the old ones.
func (i *Issuer) Rotate() {
	i.t.Helper()
	i.rotate(nil)
}

// RotateKeepingOld makes a new key, signs with it from now on, and publishes the old ones beside it.
func (i *Issuer) RotateKeepingOld() {
	i.t.Helper()
	public, err := i.key.PublicKey()
	i.must(err)
	i.rotate(append(i.old, public))
}

func (i *Issuer) rotate(old []jwk.Key) {
	i.t.Helper()
	i.old = old
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	i.must(err)
	i.key, err = jwk.FromRaw(private)
	i.must(err)
	i.keys++
	i.must(i.key.Set(jwk.KeyIDKey, "key-"+strconv.Itoa(i.keys)))
	i.must(i.key.Set(jwk.AlgorithmKey, jwa.ES256))
	i.must(os.WriteFile(i.file, i.JWKS(), 0o600))
}

// JWKS is the present key set, public keys only.
func (i *Issuer) JWKS() []byte {
	i.t.Helper()
	public, err := i.key.PublicKey()
	i.must(err)
	doc, err := json.Marshal(map[string]any{"keys": append([]jwk.Key{public}, i.old...)})
	i.must(err)
	return doc
}

// Claims are those of a good token.
func (i *Issuer) Claims() map[string]any {
	now := time.Now()
	return map[string]any{
		"iss": i.Options().Issuer, "aud": i.Options().Audience, "sub": "tester",
		"iat": now.Unix(), "exp": now.Add(time.Hour).Unix(), "roles": []string{"admin"},
	}
}

// Token is a good token, changed by the given claims; a nil value takes a claim away.
func (i *Issuer) Token(changes map[string]any) string {
	i.t.Helper()
	claims := i.Claims()
	for name, value := range changes {
		if value == nil {
			delete(claims, name)
		} else {
			claims[name] = value
		}
	}
	payload, err := json.Marshal(claims)
	i.must(err)
	return i.Sign(payload)
}

// Sign signs any payload with the present key.
func (i *Issuer) Sign(payload []byte) string {
	i.t.Helper()
	token, err := jws.Sign(payload, jws.WithKey(jwa.ES256, i.key))
	i.must(err)
	return string(token)
}

// SignWithoutID signs the claims of a good token, which does not name its key.
func (i *Issuer) SignWithoutID() string {
	i.t.Helper()
	payload, err := json.Marshal(i.Claims())
	i.must(err)
	var key any
	i.must(i.key.Raw(&key))
	token, err := jws.Sign(payload, jws.WithKey(jwa.ES256, key))
	i.must(err)
	return string(token)
}

// SignWith signs the claims of a good token under a header with further members.
func (i *Issuer) SignWith(header map[string]any) string {
	i.t.Helper()
	protected := jws.NewHeaders()
	for name, value := range header {
		i.must(protected.Set(name, value))
	}
	payload, err := json.Marshal(i.Claims())
	i.must(err)
	token, err := jws.Sign(payload, jws.WithKey(jwa.ES256, i.key, jws.WithProtectedHeaders(protected)))
	i.must(err)
	return string(token)
}

// SignRaw signs exactly this header and payload.
func (i *Issuer) SignRaw(header, payload string) string {
	i.t.Helper()
	var key ecdsa.PrivateKey
	i.must(i.key.Raw(&key))
	return SignES256(i.t, &key, header, payload)
}

// SignES256 makes a token of exactly this header and payload, whatever they are.
func SignES256(t testing.TB, key *ecdsa.PrivateKey, header, payload string) string {
	t.Helper()
	signed := encode([]byte(header)) + "." + encode([]byte(payload))
	digest := sha256.Sum256([]byte(signed))
	r, s, err := ecdsa.Sign(rand.Reader, key, digest[:])
	if err != nil {
		t.Fatal(err)
	}
	signature := make([]byte, 64)
	r.FillBytes(signature[:32])
	s.FillBytes(signature[32:])
	return signed + "." + encode(signature)
}

func encode(b []byte) string { return base64.RawURLEncoding.EncodeToString(b) }

func (i *Issuer) must(err error) {
	i.t.Helper()
	if err != nil {
		i.t.Fatal(err)
	}
}
