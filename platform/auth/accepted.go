package auth

import (
	"crypto/sha256"
	"sync"
	"time"
)

// maxAccepted bounds the memory that tokens take: at most their size in claims each.
const maxAccepted = 2048

// accepted remembers tokens that were verified, because a caller sends the same one with every request, and
// checking its signature again costs more than many an answer. It forgets a token once it expires, and once its
// issuer's keys change or are too old: what is found here would be verified again with the same result.
//
// Only what an issuer signed gets in, so nobody else can fill it. Tokens are known by their digest, so that none
// is kept, and no comparison of them tells by its time how far a guess is right.
type accepted struct {
	mu     sync.Mutex
	tokens map[digest]acceptance
}

type digest [sha256.Size]byte

// acceptance is what made a token good, and whose it is.
type acceptance struct {
	principal Principal
	issuer    *issuer
	set       *keySet // holds the key that signed it
}

// find returns whose token this is, if it was accepted and still would be.
func (a *accepted) find(token string, now time.Time) (Principal, bool) {
	key := digest(sha256.Sum256([]byte(token)))
	a.mu.Lock()
	found, ok := a.tokens[key]
	a.mu.Unlock()
	if !ok {
		return Principal{}, false
	}
	if found.set != found.issuer.keys.current() || expired(found.principal.ExpiresAt, now) {
		a.mu.Lock()
		delete(a.tokens, key)
		a.mu.Unlock()
		return Principal{}, false
	}
	return found.principal, true
}

// add remembers a token. Where there is no place, any other one is forgotten.
func (a *accepted) add(token string, what acceptance) {
	key := digest(sha256.Sum256([]byte(token)))
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.tokens == nil {
		a.tokens = map[digest]acceptance{}
	}
	if len(a.tokens) >= maxAccepted {
		for other := range a.tokens {
			delete(a.tokens, other)
			break
		}
	}
	a.tokens[key] = what
}
