package ledger

// Frontier computes the roots of a log whose leaves come one after the other, at every size on the way
// if need be: what recomputing a whole log takes. It keeps one hash for each bit of the size. The zero
// Frontier is an empty log.
type Frontier struct {
	size  int64
	nodes []Hash // roots over whole powers of two, the largest first: one for each bit of size that is set
}

// Size is how many leaves were appended.
func (f *Frontier) Size() int64 { return f.size }

// Append takes the next leaf.
func (f *Frontier) Append(leaf Hash) {
	for bit := f.size; bit&1 == 1; bit >>= 1 {
		last := len(f.nodes) - 1
		leaf = NodeHash(f.nodes[last], leaf)
		f.nodes = f.nodes[:last]
	}
	f.nodes = append(f.nodes, leaf)
	f.size++
}

// Root is the root at the present size.
func (f *Frontier) Root() Hash {
	if f.size == 0 {
		return EmptyRoot()
	}
	last := len(f.nodes) - 1
	root := f.nodes[last]
	for i := last - 1; i >= 0; i-- {
		root = NodeHash(f.nodes[i], root)
	}
	return root
}
