package ledger_test

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"testing"

	"audittrail/modules/ledger"
)

// memory is a Reader over slices, as the store will be one over rows. It holds the Reader's contract
// against whoever calls it.
type memory struct {
	t      testing.TB
	leaves []ledger.Hash
	size   int64 // up to which tiles are stored
	tiles  map[ledger.TileID][]ledger.Hash
	calls  int
}

func newMemory(t testing.TB, leaves []ledger.Hash) *memory {
	t.Helper()
	return &memory{t: t, leaves: leaves, tiles: map[ledger.TileID][]ledger.Hash{}}
}

func (m *memory) Leaves(_ context.Context, ranges []ledger.Range) ([][]ledger.Hash, error) {
	m.calls++
	var out [][]ledger.Hash
	var sum int64
	for _, g := range ranges {
		if g.From < 0 || g.From >= g.To || g.To > int64(len(m.leaves)) {
			return nil, fmt.Errorf("asked for leaves %d to %d of %d", g.From, g.To, len(m.leaves))
		}
		sum += g.To - g.From
		out = append(out, m.leaves[g.From:g.To:g.To])
	}
	if sum > ledger.MaxLeaves {
		return nil, fmt.Errorf("asked for %d leaves at once", sum)
	}
	return out, nil
}

func (m *memory) Tiles(_ context.Context, ids []ledger.TileID) ([][]ledger.Hash, error) {
	m.calls++
	if len(ids) > ledger.MaxTiles {
		return nil, fmt.Errorf("asked for %d tiles at once", len(ids))
	}
	out := make([][]ledger.Hash, len(ids))
	for i, id := range ids {
		if id.Level < 1 || id.WidthAt(int64(len(m.leaves))) == 0 {
			return nil, fmt.Errorf("asked for tile %v", id)
		}
		out[i] = m.tiles[id]
	}
	return out, nil
}

// write stores what BuildTiles makes.
func (m *memory) write(_ context.Context, size int64, parts []ledger.TilePart) error {
	for _, p := range parts {
		if have := len(m.tiles[p.Tile]); have != p.Offset || have+len(p.Hashes) > ledger.TileWidth || len(p.Hashes) == 0 {
			return fmt.Errorf("tile %v has %d hashes, and %d come for offset %d", p.Tile, have, len(p.Hashes), p.Offset)
		}
		m.tiles[p.Tile] = append(m.tiles[p.Tile], p.Hashes...)
	}
	m.size = size
	return nil
}

// build stores the tiles of size.
func (m *memory) build(size int64) {
	m.t.Helper()
	if err := ledger.BuildTiles(m.t.Context(), m, m.size, size, m.write); err != nil {
		m.t.Fatal(err)
	}
}

func (m *memory) prover(size int64) *ledger.Prover {
	m.t.Helper()
	p, err := ledger.NewProver(m, size)
	if err != nil {
		m.t.Fatal(err)
	}
	return p
}

func (m *memory) root(size int64) ledger.Hash {
	m.t.Helper()
	root, err := m.prover(size).Root(m.t.Context())
	if err != nil {
		m.t.Fatal(err)
	}
	return root
}

func (m *memory) inclusion(size int64, indexes ...int64) []ledger.Proof {
	m.t.Helper()
	proofs, err := m.prover(size).Inclusion(m.t.Context(), indexes...)
	if err != nil {
		m.t.Fatal(err)
	}
	return proofs
}

func (m *memory) consistency(from, to int64) ledger.Proof {
	m.t.Helper()
	p, err := m.prover(to).Consistency(m.t.Context(), from)
	if err != nil {
		m.t.Fatal(err)
	}
	return p
}

// numbered are n leaves, all different.
func numbered(n int) []ledger.Hash {
	out := make([]ledger.Hash, n)
	for i := range out {
		out[i] = ledger.LeafHash(binary.BigEndian.AppendUint64(nil, uint64(i)))
	}
	return out
}

// plainRoot is RFC 6962 section 2.1 word for word: what everything else is held against.
func plainRoot(leaves []ledger.Hash) ledger.Hash {
	switch n := len(leaves); n {
	case 0:
		return sha256.Sum256(nil)
	case 1:
		return leaves[0]
	default:
		k := 1
		for 2*k < n {
			k *= 2
		}
		left, right := plainRoot(leaves[:k]), plainRoot(leaves[k:])
		return sha256.Sum256(append(append([]byte{1}, left[:]...), right[:]...))
	}
}
