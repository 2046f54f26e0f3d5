package ledger_test

import (
	"strings"
	"testing"

	"golang.org/x/mod/sumdb/tlog"

	"audittrail/modules/ledger"
	"audittrail/modules/ledger/ledgertest"
)

// served is the log as its tiles are served: all that x/mod's client knows of it.
type served struct {
	t *testing.T
	m *ledgertest.Memory
}

func (served) Height() int { return ledger.TileHeight }

func (served) SaveTiles([]tlog.Tile, [][]byte) {}

func (s served) ReadTiles(tiles []tlog.Tile) ([][]byte, error) {
	var out [][]byte
	for _, tile := range tiles {
		id, width, err := ledger.ParseTilePath(strings.TrimPrefix(tile.Path(), "tile/8/"))
		if err != nil {
			return nil, err
		}
		hashes, err := ledger.ReadTile(s.t.Context(), s.m, id, width)
		if err != nil {
			return nil, err
		}
		out = append(out, ledger.AppendHashes(nil, hashes))
	}
	return out, nil
}

// The client of Go's checksum database makes and checks proofs from nothing but our tiles and root, and
// its proofs are ours.
func TestTlogsClientReadsOurTiles(t *testing.T) {
	const size, earlier = 70_123, 66_000
	m := ledgertest.NewMemory(t, ledgertest.Numbered(size))
	m.Build(size)
	tree := tlog.Tree{N: size, Hash: tlog.Hash(m.Root(size))}
	reader := tlog.TileHashReader(tree, served{t, m})
	for _, index := range []int64{0, 255, 256, 65_535, 65_536, 70_000, size - 1} {
		p, err := tlog.ProveRecord(size, index, reader)
		if err != nil {
			t.Fatal(err)
		}
		if err := tlog.CheckRecord(p, size, tree.Hash, index, tlog.Hash(m.Hashes[index])); err != nil {
			t.Errorf("%d: %v", index, err)
		}
		if ours := m.Inclusion(size, index)[0]; !same(ours, p) {
			t.Errorf("%d: another proof", index)
		}
	}
	p, err := tlog.ProveTree(size, earlier, reader)
	if err != nil {
		t.Fatal(err)
	}
	if err := tlog.CheckTree(p, size, tree.Hash, earlier, tlog.Hash(m.Root(earlier))); err != nil {
		t.Error(err)
	}
	if !same(m.Consistency(earlier, size), p) {
		t.Error("another proof of consistency")
	}
}

func same(ours ledger.Proof, theirs []tlog.Hash) bool {
	if len(ours) != len(theirs) {
		return false
	}
	for i := range ours {
		if tlog.Hash(ours[i]) != theirs[i] {
			return false
		}
	}
	return true
}

// A checkpoint's text is a tree of the checksum database under another first line.
func TestTlogReadsOurCheckpoints(t *testing.T) {
	c := ledger.Checkpoint{Origin: "x", Size: 1234, Root: ledgertest.Numbered(1)[0]}
	tree, err := tlog.ParseTree([]byte("go.sum database tree\n" + strings.TrimPrefix(c.Text(), "x\n")))
	if err != nil || tree.N != c.Size || tree.Hash != tlog.Hash(c.Root) {
		t.Error(tree, err)
	}
}
