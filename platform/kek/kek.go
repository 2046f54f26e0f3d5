// Package kek opens key-encryption keys, which key services hold: AWS KMS, HashiCorp Vault's transit engine, or, for
// local work, a key in the URL itself.
package kek

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"time"

	"gocloud.dev/secrets"
	_ "gocloud.dev/secrets/awskms" // awskms://
	"gocloud.dev/secrets/hashivault"
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
	keeper, err := open(ctx, text)
	if err != nil { // a library's words may quote the URL
		return nil, errors.New("the key-encryption key can't be opened: check encryption.kek_url and the service's credentials")
	}
	return &Key{keeper}, nil
}

func open(ctx context.Context, text string) (*secrets.Keeper, error) {
	if u, err := url.Parse(text); err == nil && u.Scheme == hashivault.Scheme {
		return openVault(ctx, u)
	}
	return secrets.OpenKeeper(ctx, text)
}

// openVault opens a key of Vault, of the server that the environment names. The library's own way has no timeout: its
// questions know no context, and a server that does not answer would be waited for without an end.
func openVault(ctx context.Context, u *url.URL) (*secrets.Keeper, error) {
	var c hashivault.Config
	c.Token = cmp.Or(os.Getenv("VAULT_SERVER_TOKEN"), os.Getenv("VAULT_TOKEN"))
	c.APIConfig.Address = cmp.Or(os.Getenv("VAULT_SERVER_URL"), os.Getenv("VAULT_ADDR"))
	if c.APIConfig.Address == "" {
		return nil, errors.New("neither VAULT_SERVER_URL nor VAULT_ADDR is set")
	}
	client, err := hashivault.Dial(ctx, &c)
	if err != nil {
		return nil, err
	}
	client.SetClientTimeout(callTimeout)
	opener := hashivault.URLOpener{Client: client}
	return opener.OpenKeeperURL(ctx, u)
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
