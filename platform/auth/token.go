package auth

import (
	"context"
	"strings"

	"github.com/go-json-experiment/json"
	"github.com/lestrrat-go/jwx/v2/jwa"
	"github.com/lestrrat-go/jwx/v2/jws"
)

// unverified is a token that was taken apart. Whoever sent it may have made it up.
type unverified struct {
	token   []byte
	keyID   string // "" where the token names none
	alg     jwa.SignatureAlgorithm
	payload []byte
	claims  claims
}

// parse takes a token of at most maxToken apart, and refuses what no signature could make acceptable.
func parse(token string) (unverified, error) {
	if strings.Count(token, ".") != 2 || !token68(token) {
		return unverified{}, errUnreadable
	}
	message, err := jws.Parse([]byte(token), jws.WithCompact())
	if err != nil || len(message.Signatures()) != 1 {
		return unverified{}, errUnreadable
	}
	header := message.Signatures()[0].ProtectedHeaders()
	if !asymmetric(header.Algorithm()) {
		return unverified{}, errAlgorithm
	}
	if _, critical := header.Get(jws.CriticalKey); critical { // names what a verifier must understand, and we know none of it
		return unverified{}, errUnreadable
	}
	if !accessToken(header.Type()) {
		return unverified{}, errType
	}
	u := unverified{token: []byte(token), keyID: header.KeyID(), alg: header.Algorithm(), payload: message.Payload()}
	if err := json.Unmarshal(u.payload, &u.claims); err != nil {
		return unverified{}, errClaims
	}
	return u, nil
}

// accessToken says whether a token's typ is that of access tokens (RFC 9068), or of no certain kind. Issuers
// sign other things with the same keys, such as logout tokens, that must not open anything (RFC 8725, 3.11).
func accessToken(typ string) bool {
	switch strings.TrimPrefix(strings.ToLower(typ), "application/") {
	case "", "jwt", "at+jwt":
		return true
	default:
		return false
	}
}

// verify checks that one of the issuer's keys has signed the token, and returns the set with that key. A
// token whose key is not known, or that names none and fits none, may be signed by a new key, so the keys are
// read again; where they can't be, nobody knows whether the token is good.
func (i *issuer) verify(ctx context.Context, u unverified) (*keySet, error) {
	if set := i.keys.current(); set != nil {
		found, known := set.candidates(u.keyID, u.alg)
		if signedBy(found, u) {
			return set, nil
		}
		if known && u.keyID != "" {
			return nil, errSignature
		}
	}
	if err := i.keys.refetch(ctx); err != nil {
		return nil, errKeysAway.Because(err)
	}
	set := i.keys.current()
	if set == nil {
		return nil, errKeysAway
	}
	if found, _ := set.candidates(u.keyID, u.alg); signedBy(found, u) {
		return set, nil
	}
	return nil, errSignature
}

// signedBy says whether one of the keys has signed the token.
func signedBy(keys []verificationKey, u unverified) bool {
	for _, key := range keys {
		if _, err := jws.Verify(u.token, jws.WithKey(u.alg, key.public)); err == nil {
			return true
		}
	}
	return false
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
