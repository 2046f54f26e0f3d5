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
func MarshalScopes(ctx context.Context) ([]byte, error) { return marshalScopes(scopesOf(ctx)) }

// MarshalOpening writes down of which events a job opens sealed values.
func MarshalOpening(s Scope) ([]byte, error) { return marshalScopes(scopes{s}) }

func marshalScopes(all scopes) ([]byte, error) {
	limits := []Scope{}
	for _, s := range all {
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
	kept, err := unmarshalScopes(marshalled)
	if err != nil {
		return nil, err
	}
	all := append(slices.Clip(scopesOf(ctx)), Everything())
	return context.WithValue(ctx, scopesKey{}, append(all, kept...)), nil
}

// WithStoredOpening has reads open the sealed values of events that MarshalOpening wrote down.
func WithStoredOpening(ctx context.Context, marshalled []byte) (context.Context, error) {
	kept, err := unmarshalScopes(marshalled)
	if err != nil {
		return nil, err
	}
	s := Everything()
	if len(kept) > 0 {
		s = kept[0]
	}
	return WithOpening(ctx, s, nil), nil
}

func unmarshalScopes(marshalled []byte) (scopes, error) {
	var kept [][]ScopePart
	if err := json.Unmarshal(marshalled, &kept); err != nil {
		return nil, fmt.Errorf("read the scopes of a job: %w", err)
	}
	all := make(scopes, len(kept))
	for i, parts := range kept {
		all[i] = Only(parts...)
	}
	return all, nil
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
