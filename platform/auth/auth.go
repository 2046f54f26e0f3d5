// Package auth checks bearer tokens: JWTs (RFC 7519, and RFC 8725's advice on them) signed by a key of their
// issuer's JSON Web Key Set (RFC 7517). The set comes from a file, from a URL, or from the URL that the
// issuer's metadata name (OpenID Connect Discovery 1.0; RFC 8414 has the same members).
//
// A token never chooses where keys are read: its iss picks one of the configured issuers, its kid one of that
// issuer's keys, and all other members of its header that lead to keys (jwk, jku, x5u, x5c) are ignored.
//
// It says who a caller is, never what the caller may do. It fails closed: without keys, or with keys that
// have been out of touch for too long, nobody is let in. No error of it quotes a token, and a token is
// never logged.
package auth

import (
	"context"
	"time"
)

// Principal is a caller whose token was accepted. Requests with the same token share it: nobody may change its
// roles.
type Principal struct {
	Subject   string    // the issuer's prefix and the sub claim; client_id where there is none
	Roles     []string  // what the issuer's roles claim lists, in its order; at most 100
	ExpiresAt time.Time // of the token
}

// AcceptedUntil returns the moment from which the token is refused: its expiry, and what clocks may differ.
// Answers that last longer end then.
func (p Principal) AcceptedUntil() time.Time { return p.ExpiresAt.Add(skew) }

type principalKey struct{}

// WithPrincipal returns a context that carries p.
func WithPrincipal(ctx context.Context, p Principal) context.Context {
	return context.WithValue(ctx, principalKey{}, p)
}

// PrincipalOf answers who is asking; false where no token was accepted.
func PrincipalOf(ctx context.Context) (Principal, bool) {
	p, ok := ctx.Value(principalKey{}).(Principal)
	return p, ok
}
