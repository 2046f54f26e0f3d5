package verify

import "audittrail/modules/ledger"

// tree computes an RFC 6962 tree leaf by leaf. It holds the roots of the complete subtrees so far, one for
// each bit of the size. It shares no code with proofs and tiles, so a mistake there does not hide here.
type tree struct {
	size  int64
	roots [64]ledger.Hash // [h] is over 2^h leaves, if size has that bit
}

// add appends a leaf. It calls made for each inner node that the leaf completes.
func (t *tree) add(leaf ledger.Hash, made func(height int, index int64, hash ledger.Hash)) {
	hash, height := leaf, 0
	for ; t.size>>height&1 == 1; height++ {
		hash = ledger.NodeHash(t.roots[height], hash)
		made(height+1, t.size>>(height+1), hash)
	}
	t.roots[height] = hash
	t.size++
}

// root returns the root at the present size.
func (t *tree) root() ledger.Hash {
	if t.size == 0 {
		return ledger.EmptyRoot()
	}
	height := 0
	for t.size>>height&1 == 0 {
		height++
	}
	root := t.roots[height]
	for height++; t.size>>height > 0; height++ {
		if t.size>>height&1 == 1 {
			root = ledger.NodeHash(t.roots[height], root)
		}
	}
	return root
}
