package auth

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/lestrrat-go/jwx/v2/jwa"
	"github.com/lestrrat-go/jwx/v2/jws"

	"audittrail/platform/errs"
)

const (
	maxToken = 16 << 10 // bytes; far more than any issuer makes
	skew     = 30 * time.Second
)

var (
	errMissing     = errs.New(errs.Unauthenticated, "unauthenticated", "send a token: Authorization: Bearer <token>")
	errUnreadable  = errs.New(errs.Unauthenticated, "invalid_token", "the token is not a signed JWT in compact form")
	errTooLong     = errs.New(errs.Unauthenticated, "invalid_token", "the token is longer than 16 KiB; ask the issuer for one with fewer claims")
	errAlgorithm   = errs.New(errs.Unauthenticated, "invalid_token", "the token is not signed with an accepted algorithm (RS, PS, ES or EdDSA)")
	errSignature   = errs.New(errs.Unauthenticated, "invalid_token", "the token is not signed by a key of the issuer")
	errClaims      = errs.New(errs.Unauthenticated, "invalid_token", "the token's claims can't be read")
	errIssuer      = errs.New(errs.Unauthenticated, "invalid_token", "the token is of another issuer")
	errAudience    = errs.New(errs.Unauthenticated, "invalid_token", "the token is for another audience")
	errNoExpiry    = errs.New(errs.Unauthenticated, "invalid_token", "the token has no expiry (exp)")
	errExpired     = errs.New(errs.Unauthenticated, "token_expired", "the token has expired")
	errNotYet      = errs.New(errs.Unauthenticated, "invalid_token", "the token is not valid yet")
	errNoSubject   = errs.New(errs.Unauthenticated, "invalid_token", "the token names no subject (sub)")
	errKeysAway    = errs.New(errs.Unavailable, "unavailable", "tokens can't be checked right now; try again later")
	errKeysMissing = errors.New("no keys of the issuer, so no token can be checked")
)

// Verifier checks tokens. Run keeps its keys fresh; without it keys are read when a request needs them.
type Verifier struct {
	issuer, audience, rolesClaim string
	keys                         *keyring
	now                          func() time.Time
}

// NewVerifier makes a verifier that has no keys yet. It reads nothing, so an issuer that is away does not
// keep the program from starting: requests are answered 503 until its keys are there.
func NewVerifier(opts Options, log *slog.Logger) (*Verifier, error) {
	if err := opts.complete(); err != nil {
		return nil, err
	}
	var from source = fileSource(opts.JWKSFile)
	if opts.JWKSURL != "" {
		var err error
		if from, err = newURLSource(opts.JWKSURL, opts.CA); err != nil {
			return nil, err
		}
	}
	return &Verifier{
		issuer: opts.Issuer, audience: opts.Audience, rolesClaim: opts.RolesClaim, now: time.Now,
		keys: &keyring{source: from, log: log, now: time.Now},
	}, nil
}

// Run keeps the keys fresh until ctx is cancelled.
func (v *Verifier) Run(ctx context.Context) { v.keys.run(ctx) }

// Reload reads the issuer's keys now. An error leaves the keys that are there in use.
func (v *Verifier) Reload(ctx context.Context) error { return v.keys.fetch(ctx, 0) }

// Health is an error while no token could be checked.
func (v *Verifier) Health() error {
	if v.keys.current() == nil {
		return errKeysMissing
	}
	return nil
}

// Bearer checks the values of a request's Authorization header. Its errors are *errs.Error of the kinds
// Unauthenticated and Unavailable.
func (v *Verifier) Bearer(ctx context.Context, authorization []string) (Principal, error) {
	if len(authorization) != 1 {
		return Principal{}, errMissing
	}
	scheme, token, found := strings.Cut(authorization[0], " ")
	token = strings.TrimLeft(token, " ") // RFC 9110, section 11.4: one space or more
	if !found || !strings.EqualFold(scheme, "Bearer") || token == "" {
		return Principal{}, errMissing
	}
	return v.Verify(ctx, token)
}

// Verify checks a JWT: signature first, claims after it.
func (v *Verifier) Verify(ctx context.Context, token string) (Principal, error) {
	payload, err := v.signed(ctx, token)
	if err != nil {
		return Principal{}, err
	}
	var c claims
	if err := json.Unmarshal(payload, &c); err != nil {
		return Principal{}, errClaims
	}
	principal, err := c.check(v.issuer, v.audience, v.now())
	if err != nil {
		return Principal{}, err
	}
	if principal.Roles, err = rolesIn(payload, v.rolesClaim); err != nil {
		return Principal{}, err
	}
	return principal, nil
}

// signed answers the payload of a token whose signature is right.
func (v *Verifier) signed(ctx context.Context, token string) ([]byte, error) {
	if len(token) > maxToken {
		return nil, errTooLong
	}
	if strings.Count(token, ".") != 2 || !token68(token) {
		return nil, errUnreadable
	}
	message, err := jws.Parse([]byte(token), jws.WithCompact())
	if err != nil || len(message.Signatures()) != 1 {
		return nil, errUnreadable
	}
	header := message.Signatures()[0].ProtectedHeaders()
	alg := header.Algorithm()
	if !asymmetric(alg) {
		return nil, errAlgorithm
	}
	if len(header.Critical()) > 0 { // names what a verifier must understand, and we know none of it
		return nil, errUnreadable
	}
	return v.payload(ctx, []byte(token), header.KeyID(), alg)
}

// payload returns the payload of a token that one of the issuer's keys has signed. A token whose key is not
// known, or that names none and fits none, may be signed by a new key, so the keys are read again; where they
// can't be, nobody knows whether the token is good.
func (v *Verifier) payload(ctx context.Context, token []byte, id string, alg jwa.SignatureAlgorithm) ([]byte, error) {
	if set := v.keys.current(); set != nil {
		found, known := set.candidates(id, alg)
		if payload, ok := signedBy(found, token, alg); ok {
			return payload, nil
		}
		if known && id != "" {
			return nil, errSignature
		}
	}
	if err := v.keys.refetch(ctx); err != nil {
		return nil, errKeysAway.Because(err)
	}
	set := v.keys.current()
	if set == nil {
		return nil, errKeysAway
	}
	found, _ := set.candidates(id, alg)
	if payload, ok := signedBy(found, token, alg); ok {
		return payload, nil
	}
	return nil, errSignature
}

// signedBy returns the token's payload where one of the keys has signed it.
func signedBy(keys []verificationKey, token []byte, alg jwa.SignatureAlgorithm) ([]byte, bool) {
	for _, key := range keys {
		if payload, err := jws.Verify(token, jws.WithKey(alg, key.public)); err == nil {
			return payload, true
		}
	}
	return nil, false
}

// token68 says whether s has the characters of a compact JWT alone.
func token68(s string) bool {
	for i := range len(s) {
		switch c := s[i]; {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9', c == '-', c == '_', c == '.':
		default:
			return false
		}
	}
	return true
}
