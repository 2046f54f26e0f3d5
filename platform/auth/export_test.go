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
