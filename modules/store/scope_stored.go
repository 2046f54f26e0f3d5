package store

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"slices"
)

// MarshalScopes writes down what reads by this context see, for a job that reads later on. Everything is no scope.
func MarshalScopes(ctx context.Context) ([]byte, error) {
	limits := []Scope{}
	for _, s := range scopesOf(ctx) {
		if !s.everything {
			limits = append(limits, s)
		}
	}
	kept := make([][]ScopePart, len(limits))
	for i, s := range limits {
		kept[i] = append([]ScopePart{}, s.parts...)
	}
	return json.Marshal(kept)
}

// WithScopes narrows what reads by this context see to what MarshalScopes wrote down.
func WithScopes(ctx context.Context, marshalled []byte) (context.Context, error) {
	var kept [][]ScopePart
	if err := json.Unmarshal(marshalled, &kept); err != nil {
		return nil, fmt.Errorf("read the scopes of a job: %w", err)
	}
	all := append(slices.Clip(scopesOf(ctx)), Everything())
	for _, parts := range kept {
		all = append(all, Only(parts...))
	}
	return context.WithValue(ctx, scopesKey{}, all), nil
}

// scopeHashes name the scopes that hide something, each by a hash. A job that has all hashes of a reader reads
// nothing that this reader may not see.
func scopeHashes(ctx context.Context) []string {
	hashes := []string{}
	for _, s := range scopesOf(ctx) {
		if !s.everything {
			sum := sha256.Sum256(scopes{s}.fingerprint())
			hashes = append(hashes, hex.EncodeToString(sum[:16]))
		}
	}
	return hashes
}
