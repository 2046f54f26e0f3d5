package ledger

import (
	"context"
	"fmt"
)

// ProveConsistency proves that the log of size to is the log of size from and more, 0 < from ≤ to, and checks
// the proof against a checkpoint whose size is not below to, before anybody gets it: whoever holds the roots
// of these sizes, as that checkpoint has them, will find that it verifies. The error is an *EvidenceError
// where it would not.
func ProveConsistency(ctx context.Context, r Reader, signed Checkpoint, from, to int64) (Proof, error) {
	proof, toRoot, err := consistency(ctx, r, from, to)
	if err != nil {
		return nil, err
	}
	start, err := NewProver(r, from)
	if err != nil {
		return nil, err
	}
	fromRoot, err := start.Root(ctx)
	if err != nil {
		return nil, err
	}
	rest, root, err := consistency(ctx, r, to, signed.Size)
	if err != nil {
		return nil, err
	}
	if root != signed.Root || VerifyConsistency(from, to, fromRoot, toRoot, proof) != nil || VerifyConsistency(to, signed.Size, toRoot, root, rest) != nil {
		return nil, &EvidenceError{Detail: fmt.Sprintf("of size %d does not fit the log's hashes at %d or %d: they were changed", signed.Size, from, to)}
	}
	return proof, nil
}

func consistency(ctx context.Context, r Reader, from, to int64) (proof Proof, root Hash, err error) {
	prover, err := NewProver(r, to)
	if err != nil {
		return nil, Hash{}, err
	}
	if root, err = prover.Root(ctx); err != nil {
		return nil, Hash{}, err
	}
	proof, err = prover.Consistency(ctx, from)
	return proof, root, err
}
