package auth

import "time"

// WithClock gives a verifier another time.
func WithClock(v *Verifier, now func() time.Time) *Verifier {
	v.now, v.keys.now = now, now
	return v
}
