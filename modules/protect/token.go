package protect

import (
	"crypto/hmac"
	"crypto/sha256"
	"hash"
)

// Token finds an event by a value that is sealed in it.
type Token struct {
	Key   KeyID // whose value it is
	Value TokenValue
	Place int // its number in the row: it stands in the place {"$sealed":Place}
}

// TokenValue is a keyed hash of a value.
type TokenValue [16]byte

// isScalar reports whether a value can be found when it is sealed.
func isScalar(value []byte) bool { return value[0] != '{' && value[0] != '[' && value[0] != 'n' }

// tokenOf returns what finds a value that a rule sealed.
func (b *batch) tokenOf(r *rule, value []byte) TokenValue {
	mac := b.tokens[r]
	if mac == nil {
		mac = newTokens(b.protector.tokenKey(b.root, r))
		b.tokens[r] = mac
	}
	return tokenOf(mac, value)
}

// tokenKey returns the key of a rule's tokens.
func (p *Protector) tokenKey(root *roots, r *rule) []byte {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.names[r] == nil {
		p.names[r] = root.tokenKey(r)
	}
	return p.names[r]
}

func (r *roots) tokenKey(of *rule) []byte { return derive(r.key, "token/"+of.name) }

func newTokens(key []byte) hash.Hash { return hmac.New(sha256.New, key) }

// tokenOf returns the token of a value, by the keyed hash of a rule's tokens.
func tokenOf(mac hash.Hash, value []byte) TokenValue {
	mac.Reset()
	_, _ = mac.Write(value) // never fails (hash.Hash)
	var sum [sha256.Size]byte
	return TokenValue(mac.Sum(sum[:0])[:16])
}
