package auth

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"time"

	"audittrail/platform/errs"
)

const (
	maxToken = 16 << 10 // bytes; far more than any issuer makes
	skew     = 30 * time.Second
)

var (
	errMissing     = errs.New(errs.Unauthenticated, "unauthenticated", "send a token: Authorization: Bearer <token>")
	errSeveral     = errs.New(errs.Unauthenticated, "unauthenticated", "send one Authorization header, not several")
	errUnreadable  = errs.New(errs.Unauthenticated, "invalid_token", "the token is not a signed JWT in compact form")
	errTooLong     = errs.New(errs.Unauthenticated, "invalid_token", "the token is longer than 16 KiB; ask the issuer for one with fewer claims")
	errAlgorithm   = errs.New(errs.Unauthenticated, "invalid_token", "the token is not signed with an accepted algorithm (RS, PS, ES or EdDSA)")
	errSignature   = errs.New(errs.Unauthenticated, "invalid_token", "the token is not signed by a key of the issuer")
	errClaims      = errs.New(errs.Unauthenticated, "invalid_token", "the token's claims can't be read")
	errIssuer      = errs.New(errs.Unauthenticated, "invalid_token", "the token's issuer (iss) is not one whose tokens are accepted")
	errAudience    = errs.New(errs.Unauthenticated, "invalid_token", "the token is for another audience")
	errType        = errs.New(errs.Unauthenticated, "invalid_token", "the token's type (typ) is not that of an access token (JWT or at+jwt)")
	errNoExpiry    = errs.New(errs.Unauthenticated, "invalid_token", "the token has no expiry (exp)")
	errExpired     = errs.New(errs.Unauthenticated, "token_expired", "the token has expired")
	errNotYet      = errs.New(errs.Unauthenticated, "invalid_token", "the token is not valid yet")
	errNoSubject   = errs.New(errs.Unauthenticated, "invalid_token", "the token names no subject (sub)")
	errOthersName  = errs.New(errs.Unauthenticated, "invalid_token", "the token's subject (sub) begins with the prefix of another issuer's callers")
	errSubject     = errs.New(errs.Unauthenticated, "invalid_token", "the token's subject (sub) has more than %d characters, or control characters", maxName)
	errKeysAway    = errs.New(errs.Unavailable, "unavailable", "tokens can't be checked right now; try again later")
	errKeysMissing = errors.New("no keys of any issuer, so no token can be checked")
)

// Verifier checks tokens. Run keeps its keys fresh; without it keys are read when a request needs them.
type Verifier struct {
	issuers  []*issuer // each of another name
	now      func() time.Time
	accepted accepted
}

// issuer is somebody whose tokens are accepted. Its keys verify its own tokens alone.
type issuer struct {
	name, audience, rolesClaim string
	prefix                     string // of its callers' names
	keys                       *keyring
}

// NewVerifier makes a verifier that has no keys yet. It reads nothing, so an issuer that is away does not
// keep the program from starting: requests are answered 503 until its keys are there.
func NewVerifier(opts Options, log *slog.Logger) (*Verifier, error) {
	if err := errors.Join(opts.Validate(), opts.Complete()); err != nil {
		return nil, err
	}
	client, err := newClient(opts.CA)
	if err != nil {
		return nil, err
	}
	v := &Verifier{now: time.Now}
	for _, one := range opts.issuers() {
		v.issuers = append(v.issuers, &issuer{
			name: one.Issuer, audience: one.Audience, rolesClaim: one.RolesClaim, prefix: one.prefix(),
			keys: &keyring{source: newSource(one.IssuerOptions, client), log: log.With(slog.String("issuer", one.Issuer)), now: time.Now},
		})
	}
	return v, nil
}

// Run keeps the keys of all issuers fresh until ctx is cancelled.
func (v *Verifier) Run(ctx context.Context) {
	var running sync.WaitGroup
	for _, one := range v.issuers {
		running.Go(func() { one.keys.run(ctx) })
	}
	running.Wait()
}

// Reload reads the keys of all issuers now. An error leaves the keys that are there in use.
func (v *Verifier) Reload(ctx context.Context) error {
	failed := make([]error, len(v.issuers))
	var running sync.WaitGroup
	for i, one := range v.issuers {
		running.Go(func() { failed[i] = one.keys.fetch(ctx, 0) })
	}
	running.Wait()
	return errors.Join(failed...)
}

// Health is an error while no token could be checked. One issuer of several may be away: those who hold
// tokens of the others must not suffer from it.
func (v *Verifier) Health() error {
	if slices.ContainsFunc(v.issuers, func(one *issuer) bool { return one.keys.current() != nil }) {
		return nil
	}
	return errKeysMissing
}

// Bearer checks the values of a request's Authorization header. Its errors are *errs.Error of the kinds
// Unauthenticated and Unavailable.
func (v *Verifier) Bearer(ctx context.Context, authorization []string) (Principal, error) {
	if len(authorization) > 1 {
		return Principal{}, errSeveral
	}
	if len(authorization) == 0 {
		return Principal{}, errMissing
	}
	scheme, token, found := strings.Cut(authorization[0], " ")
	token = strings.TrimLeft(token, " ") // RFC 9110, section 11.4: one space or more
	if !found || !strings.EqualFold(scheme, "Bearer") || token == "" {
		return Principal{}, errMissing
	}
	return v.Verify(ctx, token)
}

// Verify checks a JWT: its iss says whose keys must have signed it, and its claims count only after that.
func (v *Verifier) Verify(ctx context.Context, token string) (Principal, error) {
	if len(token) > maxToken {
		return Principal{}, errTooLong
	}
	if principal, ok := v.accepted.find(token, v.now()); ok {
		return principal, nil
	}
	unverified, err := parse(token)
	if err != nil {
		return Principal{}, err
	}
	i := slices.IndexFunc(v.issuers, func(one *issuer) bool { return one.name == unverified.claims.Issuer })
	if i < 0 {
		return Principal{}, errIssuer
	}
	from := v.issuers[i]
	set, err := from.verify(ctx, unverified)
	if err != nil {
		return Principal{}, err
	}
	principal, err := unverified.claims.check(from.audience, v.now())
	if err != nil {
		return Principal{}, err
	}
	if v.takesAnothersName(from, principal.Subject) {
		return Principal{}, errOthersName
	}
	principal.Subject = from.prefix + principal.Subject
	if principal.Roles, err = rolesIn(unverified.payload, from.rolesClaim); err != nil {
		return Principal{}, err
	}
	v.accepted.add(token, acceptance{principal, from, set})
	return principal, nil
}

// takesAnothersName reports whether an issuer's caller would have a name that belongs to another issuer's callers.
func (v *Verifier) takesAnothersName(from *issuer, subject string) bool {
	return slices.ContainsFunc(v.issuers, func(other *issuer) bool {
		return other != from && other.prefix != "" && strings.HasPrefix(from.prefix+subject, other.prefix)
	})
}
