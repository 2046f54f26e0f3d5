package devstack

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"audittrail/platform/files"

	"github.com/lestrrat-go/jwx/v2/jwa"
	"github.com/lestrrat-go/jwx/v2/jwk"
	"github.com/lestrrat-go/jwx/v2/jwt"
)

// Keys are a key pair of this machine (ES256) for tokens of local work. The private key never leaves
// its file of mode 0600: who holds it can be anybody to an API that trusts the JWKS.
type Keys struct {
	private jwk.Key
	jwks    string
}

const (
	privateKeyFile = "signing-key.json"
	jwksFile       = "jwks.json"
)

// OpenKeys reads the key pair in dir, or makes it where there is none.
func OpenKeys(dir string) (*Keys, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("keys for local tokens: %w", err)
	}
	path := filepath.Join(dir, privateKeyFile)
	key, err := readKey(path)
	if errors.Is(err, os.ErrNotExist) {
		key, err = makeKey(path)
	}
	if err != nil {
		return nil, fmt.Errorf("keys for local tokens: %w", err)
	}
	k := &Keys{private: key, jwks: filepath.Join(dir, jwksFile)}
	if err := k.writeJWKS(); err != nil {
		return nil, fmt.Errorf("keys for local tokens: %w", err)
	}
	return k, nil
}

// ReadKeys reads the key pair in dir. The error is os.ErrNotExist where there is none.
func ReadKeys(dir string) (*Keys, error) {
	key, err := readKey(filepath.Join(dir, privateKeyFile))
	if err != nil {
		return nil, fmt.Errorf("keys for local tokens: %w", err)
	}
	return &Keys{private: key, jwks: filepath.Join(dir, jwksFile)}, nil
}

func readKey(path string) (jwk.Key, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	key, err := jwk.ParseKey(text)
	if err != nil {
		return nil, fmt.Errorf("%s holds no key", path) // the library's text may quote it
	}
	return key, nil
}

func makeKey(path string) (jwk.Key, error) {
	pair, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	key, err := jwk.FromRaw(pair)
	if err != nil {
		return nil, err
	}
	if err := jwk.AssignKeyID(key); err != nil {
		return nil, err
	}
	if err := errors.Join(key.Set(jwk.AlgorithmKey, jwa.ES256), key.Set(jwk.KeyUsageKey, "sig")); err != nil {
		return nil, err
	}
	text, err := json.Marshal(key)
	if err != nil {
		return nil, err
	}
	return key, files.Write(path, text, 0o600)
}

func (k *Keys) writeJWKS() error {
	public, err := k.private.PublicKey()
	if err != nil {
		return err
	}
	set := jwk.NewSet()
	if err := set.AddKey(public); err != nil {
		return err
	}
	text, err := json.MarshalIndent(set, "", "  ")
	if err != nil {
		return err
	}
	return files.Write(k.jwks, append(text, '\n'), 0o644)
}

// JWKSFile is the path of the public key as a JWK set, for auth.jwks_file.
func (k *Keys) JWKSFile() string { return k.jwks }

// TokenOptions say for whom a token is.
type TokenOptions struct {
	Issuer, Audience string // empty: the token has no such claim
	Subject          string
	Roles            []string
	RolesClaim       string        // the claim that holds Roles; "roles" when empty
	Lifetime         time.Duration // from now
}

// Mint signs a token that is valid from now on.
func (k *Keys) Mint(now time.Time, opts TokenOptions) (string, error) {
	claim := opts.RolesClaim
	if claim == "" {
		claim = "roles"
	}
	b := jwt.NewBuilder().Subject(opts.Subject).Claim(claim, opts.Roles).
		IssuedAt(now).NotBefore(now.Add(-time.Second)).Expiration(now.Add(opts.Lifetime))
	if opts.Issuer != "" {
		b = b.Issuer(opts.Issuer)
	}
	if opts.Audience != "" {
		b = b.Audience([]string{opts.Audience})
	}
	token, err := b.Build()
	if err != nil {
		return "", fmt.Errorf("mint a token: %w", err)
	}
	signed, err := jwt.Sign(token, jwt.WithKey(jwa.ES256, k.private))
	if err != nil {
		return "", fmt.Errorf("mint a token: %w", err)
	}
	return string(signed), nil
}
