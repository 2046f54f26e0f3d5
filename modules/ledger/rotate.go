package ledger

import (
	"errors"
	"fmt"
	"io"
	"strings"
)

// ErrNoOverlap says that ledger.signing_key is one key, so that no overlap can end.
var ErrNoOverlap = errors.New("there is no overlap to end: ledger.signing_key is one key")

// Rotate returns the keys of ledger.signing_key with a new one, made out of 32 bytes of rand, before them.
func Rotate(keys []SigningKey, rand io.Reader) ([]SigningKey, error) {
	fresh, err := GenerateKey(keys[0].origin, rand)
	if err != nil {
		return nil, err
	}
	keys = append([]SigningKey{fresh}, keys...)
	if len(keys) > maxKeysAtATime {
		return nil, fmt.Errorf("ledger.signing_key with a new key %w", errManyKeys)
	}
	return keys, nil
}

// EndOverlap returns the current one of the keys alone.
func EndOverlap(keys []SigningKey) ([]SigningKey, error) {
	if len(keys) < 2 {
		return nil, ErrNoOverlap
	}
	return keys[:1], nil
}

// Secrets returns the text that ledger.signing_key takes for keys. It MUST NOT be logged.
func Secrets(keys []SigningKey) string {
	all := make([]string, len(keys))
	for i, k := range keys {
		all[i] = k.Secret()
	}
	return strings.Join(all, ",")
}
