package auth

import "time"

// WithClock gives a verifier another time.
func WithClock(v *Verifier, now func() time.Time) *Verifier {
	v.now = now
	for _, one := range v.issuers {
		one.keys.now = now
	}
	return v
}

// KeysAddress is the jwks_uri that an issuer's metadata name.
var KeysAddress = keysAddress

// MaxAccepted is how many tokens a verifier remembers.
const MaxAccepted = maxAccepted

// Remembers says whether a token is accepted without another look at its signature.
func Remembers(v *Verifier, token string) bool {
	_, ok := v.accepted.find(token, v.now())
	return ok
}

// Remembered is how many tokens are remembered.
func Remembered(v *Verifier) int { return len(v.accepted.tokens) }
