// Package kek opens key-encryption keys, which key services hold: AWS KMS, HashiCorp Vault's transit engine, or, for
// local work, a key in the URL itself.
package kek

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"time"

	"gocloud.dev/secrets"
	_ "gocloud.dev/secrets/awskms"       // awskms://
	_ "gocloud.dev/secrets/hashivault"   // hashivault://
	_ "gocloud.dev/secrets/localsecrets" // base64key://
)

// Key is a key-encryption key. It is safe for concurrent use.
type Key struct{ keeper *secrets.Keeper }

// callTimeout bounds one question to the key service.
const callTimeout = 10 * time.Second

// Check reports what is wrong with a URL, without asking any service. It quotes nothing of it: it may hold a key.
func Check(text string) error {
	u, err := url.Parse(text)
	if err != nil {
		return errors.New("must be a URL")
	}
	switch u.Scheme {
	case "awskms", "hashivault", "base64key":
		return nil
	}
	return errors.New("must begin with awskms://, hashivault:// or base64key://")
}

// Open opens the key that a URL names. It may connect to nothing yet.
func Open(ctx context.Context, text string) (*Key, error) {
	if err := Check(text); err != nil {
		return nil, fmt.Errorf("the key-encryption key's URL %w", err)
	}
	keeper, err := secrets.OpenKeeper(ctx, text)
	if err != nil { // a library's words may quote the URL
		return nil, errors.New("the key-encryption key can't be opened: check encryption.kek_url and the service's credentials")
	}
	return &Key{keeper}, nil
}

// Encrypt encrypts a key.
func (k *Key) Encrypt(ctx context.Context, plain []byte) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	return k.keeper.Encrypt(ctx, plain)
}

// Decrypt decrypts what Encrypt returned.
func (k *Key) Decrypt(ctx context.Context, wrapped []byte) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	return k.keeper.Decrypt(ctx, wrapped)
}

// Close lets the service's connections go.
func (k *Key) Close() error { return k.keeper.Close() }
