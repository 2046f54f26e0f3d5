// Package protecttest makes sealed events for tests.
package protecttest

import (
	"context"
	"errors"
	"sync/atomic"
	"time"

	"audittrail/modules/event"
	"audittrail/modules/protect"
)

// Seal seals an event without rules, which can't fail.
func Seal(v event.Valid) protect.Sealed {
	sealed, err := protect.NewProtector().Seal(context.Background(), []event.Valid{v})
	if err != nil {
		panic(err)
	}
	return sealed[0]
}

// KEK is a key-encryption key for tests. While Away is set it can't be reached.
type KEK struct{ Away atomic.Bool }

var errAway = errors.New("the key service is away")

// Encrypt mirrors the bits: enough to see that nobody stores a key as it is.
func (k *KEK) Encrypt(_ context.Context, plain []byte) ([]byte, error) {
	if k.Away.Load() {
		return nil, errAway
	}
	out := make([]byte, len(plain))
	for i, b := range plain {
		out[i] = ^b
	}
	return out, nil
}

// Decrypt is Encrypt's inverse.
func (k *KEK) Decrypt(ctx context.Context, wrapped []byte) ([]byte, error) {
	return k.Encrypt(ctx, wrapped)
}

// Open is what a keyring is made with.
func (k *KEK) Open(context.Context) (protect.KEK, error) { return k, nil }

// Valid makes an event of a record's value.
func Valid(value string, c event.Coordinates) event.Valid {
	decoded, rejected := event.Decode(event.Raw{Coordinates: c, Value: []byte(value)})
	if rejected != nil {
		panic(rejected.Detail)
	}
	valid, rejected := decoded.Validate(event.DefaultRules(), time.Now())
	if rejected != nil {
		panic(rejected.Detail)
	}
	return valid
}
