package ledger

import (
	"context"
	"fmt"
)

// ProveConsistency proves that the log of size to is the log of size from and more, 0 < from ≤ to, and checks
// the proof against a checkpoint whose size is not below to, before anybody gets it: the signed root binds the
// root at to, by a proof of its own, and that one the root at from. Whoever holds these roots will find that the
// proof verifies. The error is an *EvidenceError where it would not.
func ProveConsistency(ctx context.Context, r Reader, signed Checkpoint, from, to int64) (Proof, error) {
	var roots [2]Hash
	var provers [3]*Prover
	for i, size := range []int64{from, to, signed.Size} {
		var err error
		if provers[i], err = NewProver(r, size); err != nil {
			return nil, err
		}
		if i == len(roots) {
			break // its root is the signed one
		}
		if roots[i], err = provers[i].Root(ctx); err != nil {
			return nil, err
		}
	}
	proof, err := provers[1].Consistency(ctx, from)
	if err != nil {
		return nil, err
	}
	rest, err := provers[2].Consistency(ctx, to)
	if err != nil {
		return nil, err
	}
	if VerifyConsistency(from, to, roots[0], roots[1], proof) != nil || VerifyConsistency(to, signed.Size, roots[1], signed.Root, rest) != nil {
		return nil, &EvidenceError{Detail: fmt.Sprintf("of size %d does not fit the log's hashes at %d or %d: they were changed", signed.Size, from, to)}
	}
	return proof, nil
}
