package verify

import "audittrail/modules/ledger"

// tree computes an RFC 6962 tree from the left: it holds the roots of the whole subtrees so far, one for
// each bit of the size. It is not the code that proofs and tiles are made with, so that a mistake there
// does not hide here.
type tree struct {
	size  int64
	roots [64]ledger.Hash // [h] is over 2^h leaves, where size has the bit
}

// add appends a leaf. made, if not nil, gets each node that is complete with it: height 0 is the leaf.
func (t *tree) add(leaf ledger.Hash, made func(height int, index int64, hash ledger.Hash)) {
	hash, height := leaf, 0
	for ; t.size>>height&1 == 1; height++ {
		hash = ledger.NodeHash(t.roots[height], hash)
		made(height+1, t.size>>(height+1), hash)
	}
	t.roots[height] = hash
	t.size++
}

// root is the root at the present size.
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
