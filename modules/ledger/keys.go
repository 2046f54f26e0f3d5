package ledger

import (
	"bytes"
	"crypto/ed25519"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/mod/sumdb/note"
)

// SigningKey is the one Ed25519 key of an installation, as ledger.signing_key has it: a note signing key
// named ledger.origin. Each log is signed by it under the log's own name, so that no signature of one log
// fits another. Printing it, in whatever way, shows its name only. The zero SigningKey MUST NOT be used.
type SigningKey struct {
	origin string
	seed   seed
}

// seed gives the secret. It is a function, since of that fmt and printers like it show the address: values, and
// what pointers lead to, they show even where they call no method.
type seed func() [ed25519.SeedSize]byte

const (
	privatePrefix  = "PRIVATE+KEY+"
	maxOrigin      = 255 // bytes; long enough for any host name and path
	maxKeyText     = 64 << 10
	maxKeys        = 100
	maxKeysAtATime = 16 // more signers than any rotation needs, and what every reader of notes must take
)

// What is wrong with keys. None quotes a key.
var (
	errOrigin     = errors.New("must be a name such as audit.example.com/shop: 1 to 255 bytes, no space, + or comma, no characters but letters, digits and punctuation, no slash at either end, no # in front")
	errSigningKey = errors.New("is not a note signing key: PRIVATE+KEY+ and then <name>+<8 hexadecimal digits>+<base64>, of type Ed25519")
	errNoKey      = errors.New("holds no key")
	errManyKeys   = errors.New("holds more keys than anybody has")
	errKeyTwice   = errors.New("holds the same key twice")
)

// CheckOrigin checks a base origin, ledger.origin: what logs' origins and keys' names begin with. C2SP
// signed-note forbids spaces and + in names. The rest is for people, who compare names by eye, and for
// the files that they keep keys in, where a line that begins with # is a comment. Whoever verifies takes
// any name that the specification allows.
func CheckOrigin(origin string) error {
	if origin == "" || len(origin) > maxOrigin || !utf8.ValidString(origin) || strings.ContainsFunc(origin, oddInOrigin) ||
		strings.HasPrefix(origin, "/") || strings.HasSuffix(origin, "/") || strings.HasPrefix(origin, "#") {
		return errOrigin
	}
	return nil
}

// oddInOrigin tells the characters that no origin has: of ASCII what can't be printed or parts keys, and
// beyond it all but letters, digits and punctuation that can be seen.
func oddInOrigin(r rune) bool {
	switch {
	case r <= unicode.MaxASCII:
		return r <= ' ' || r == 0x7f || r == '+' || r == ','
	case unicode.In(r, unicode.Other_Default_Ignorable_Code_Point, unicode.Variation_Selector):
		return true
	}
	return !unicode.In(r, unicode.L, unicode.M, unicode.N, unicode.P)
}

// GenerateKey makes a signing key named origin out of 32 bytes of rand.
func GenerateKey(origin string, rand io.Reader) (SigningKey, error) {
	if err := CheckOrigin(origin); err != nil {
		return SigningKey{}, fmt.Errorf("the origin %w", err)
	}
	var random [ed25519.SeedSize]byte
	if _, err := io.ReadFull(rand, random[:]); err != nil {
		return SigningKey{}, fmt.Errorf("read random bytes: %w", err)
	}
	return newSigningKey(origin, random), nil
}

func newSigningKey(origin string, secret [ed25519.SeedSize]byte) SigningKey {
	return SigningKey{origin, func() [ed25519.SeedSize]byte { return secret }}
}

// ParseSigningKeys reads ledger.signing_key: one key, or several with commas or on lines of their own
// (while keys are rotated, all of them sign; the first is the current one). All MUST be named origin; where
// that is "", as the first one is. The error does not quote the text.
func ParseSigningKeys(text, origin string) ([]SigningKey, error) {
	if len(text) > maxKeyText {
		return nil, errManyKeys
	}
	var keys []SigningKey
	for word := range strings.FieldsFuncSeq(text, func(r rune) bool { return r == ',' || unicode.IsSpace(r) }) {
		k, err := parseSigningKey(word)
		if err != nil {
			return nil, fmt.Errorf("key %d %w", len(keys)+1, err)
		}
		switch {
		case origin != "" && k.origin != origin:
			return nil, fmt.Errorf("key %d is named %q, but ledger.origin is %q", len(keys)+1, k.origin, origin)
		case len(keys) > 0 && k.origin != keys[0].origin:
			return nil, fmt.Errorf("key %d is named %q, but key 1 is named %q: all must be one ledger's", len(keys)+1, k.origin, keys[0].origin)
		}
		for _, other := range keys {
			if other.Equal(k) {
				return nil, errKeyTwice
			}
		}
		if keys = append(keys, k); len(keys) > maxKeysAtATime {
			return nil, errManyKeys
		}
	}
	if len(keys) == 0 {
		return nil, errNoKey
	}
	return keys, nil
}

func parseSigningKey(word string) (SigningKey, error) {
	// The library checks the key's id, so that a key that was cut or mistyped is seen.
	signer, err := note.NewSigner(word)
	if err != nil {
		return SigningKey{}, errSigningKey
	}
	encoded := word[len(privatePrefix)+len(signer.Name())+len("+00000000+"):]
	key, err := base64.StdEncoding.DecodeString(encoded)
	if err != nil || len(key) != 1+ed25519.SeedSize || CheckOrigin(signer.Name()) != nil {
		return SigningKey{}, errSigningKey
	}
	k := newSigningKey(signer.Name(), [ed25519.SeedSize]byte(key[1:]))
	if k.Secret() != word {
		return SigningKey{}, errSigningKey // another spelling
	}
	return k, nil
}

// Origin is the key's name, ledger.origin.
func (k SigningKey) Origin() string { return k.origin }

// Equal tells whether two keys are one, by their name and their secret.
func (k SigningKey) Equal(other SigningKey) bool {
	mine, others := k.seed(), other.seed()
	return k.origin == other.origin && subtle.ConstantTimeCompare(mine[:], others[:]) == 1
}

// String is the key's name, without the key.
func (k SigningKey) String() string { return "signing key of " + k.origin }

// GoString is String, so that %#v shows no more than that.
func (k SigningKey) GoString() string { return k.String() }

// Secret is the text that ledger.signing_key takes. It MUST NOT be logged.
func (k SigningKey) Secret() string {
	// GenerateKey of the note package reads exactly the seed.
	random := k.seed()
	secret, _, err := note.GenerateKey(bytes.NewReader(random[:]), k.origin)
	if err != nil {
		panic("ledger: a signing key without a seed: " + err.Error())
	}
	return secret
}

// Signer signs one log's checkpoints.
func (k SigningKey) Signer(log Log) (note.Signer, error) {
	named := k
	named.origin = log.Origin(k.origin)
	s, err := note.NewSigner(named.Secret())
	if err != nil {
		return nil, fmt.Errorf("signer of %s: %w", named.origin, err)
	}
	return s, nil
}

// VerifierKey is the public key of one log as --key takes it: <origin>/<log>+<key id>+<base64>.
func (k SigningKey) VerifierKey(log Log) string {
	random := k.seed()
	public := ed25519.NewKeyFromSeed(random[:]).Public().(ed25519.PublicKey)
	text, err := note.NewEd25519VerifierKey(log.Origin(k.origin), public)
	if err != nil {
		panic("ledger: an Ed25519 key of a wrong size: " + err.Error())
	}
	return text
}
