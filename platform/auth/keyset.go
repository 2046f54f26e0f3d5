package auth

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"errors"
	"slices"

	"github.com/lestrrat-go/jwx/v2/jwa"
	"github.com/lestrrat-go/jwx/v2/jwk"
)

// minRSABits is the least size of an RSA key that is used (RFC 7518, section 3.3).
const minRSABits = 2048

// maxTries bounds how many keys a token without a key id is tried with.
const maxTries = 8

// verificationKey is a public key that can check signatures.
type verificationKey struct {
	id     string                 // "" where the set names none
	alg    jwa.SignatureAlgorithm // "" where the set leaves it to the key's type
	public any                    // *rsa.PublicKey, *ecdsa.PublicKey or ed25519.PublicKey
}

// keySet is a JWKS as far as it is of use here. It never changes.
type keySet struct {
	doc  []byte // what it was read from
	keys []verificationKey
}

var errNoKeys = errors.New("the key set holds no key that can verify signatures")

// parseKeySet keeps the keys that can verify signatures and passes by all others: symmetric ones above
// all, since a public document can't hold a secret, and kinds of keys that are not known here.
func parseKeySet(doc []byte) (*keySet, error) {
	set, err := jwk.Parse(doc, jwk.WithIgnoreParseError(true))
	if err != nil {
		return nil, errors.New("the key set is not a JSON Web Key Set")
	}
	ks := &keySet{doc: doc}
	for i := range set.Len() {
		if key, ok := set.Key(i); ok {
			if k, ok := usable(key); ok {
				ks.keys = append(ks.keys, k)
			}
		}
	}
	if len(ks.keys) == 0 {
		return nil, errNoKeys
	}
	return ks, nil
}

func usable(key jwk.Key) (verificationKey, bool) {
	k := verificationKey{id: key.KeyID()}
	if alg := key.Algorithm(); alg != nil && alg.String() != "" {
		k.alg = jwa.SignatureAlgorithm(alg.String())
		if !asymmetric(k.alg) {
			return k, false
		}
	}
	if key.KeyUsage() != "" && key.KeyUsage() != string(jwk.ForSignature) {
		return k, false
	}
	if ops := key.KeyOps(); len(ops) > 0 && !slices.Contains(ops, jwk.KeyOpVerify) {
		return k, false
	}
	if key.KeyType() == jwa.OctetSeq {
		return k, false
	}
	public, err := key.PublicKey()
	if err != nil {
		return k, false
	}
	if err := public.Raw(&k.public); err != nil {
		return k, false
	}
	if r, ok := k.public.(*rsa.PublicKey); ok && r.N.BitLen() < minRSABits {
		return k, false
	}
	return k, true
}

// asymmetric lists the algorithms that are accepted. HMACs are not, since a public key could pass for
// their secret; none is not; ES256K is nobody's here.
func asymmetric(alg jwa.SignatureAlgorithm) bool {
	switch alg {
	case jwa.RS256, jwa.RS384, jwa.RS512, jwa.PS256, jwa.PS384, jwa.PS512,
		jwa.ES256, jwa.ES384, jwa.ES512, jwa.EdDSA:
		return true
	default:
		return false
	}
}

// fits says whether a signature of alg may be checked with k.
func (k verificationKey) fits(alg jwa.SignatureAlgorithm) bool {
	if k.alg != "" && k.alg != alg {
		return false
	}
	switch public := k.public.(type) {
	case *rsa.PublicKey:
		return alg[0] == 'R' || alg[0] == 'P'
	case *ecdsa.PublicKey:
		return alg == jwa.ES256 && public.Curve == elliptic.P256() ||
			alg == jwa.ES384 && public.Curve == elliptic.P384() ||
			alg == jwa.ES512 && public.Curve == elliptic.P521()
	case ed25519.PublicKey:
		return alg == jwa.EdDSA
	default:
		return false
	}
}

// candidates are the keys that a token with this key id and algorithm may be signed by. known is false
// where the set has no key of that id at all: it may be a newer one.
func (ks *keySet) candidates(id string, alg jwa.SignatureAlgorithm) (found []verificationKey, known bool) {
	for _, k := range ks.keys {
		if id != "" && k.id != id {
			continue
		}
		known = true
		if k.fits(alg) && len(found) < maxTries {
			found = append(found, k)
		}
	}
	return found, known
}
