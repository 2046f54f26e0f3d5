package ledger_test

import (
	"context"
	"encoding/hex"
	"errors"
	"math"
	"slices"
	"testing"

	"github.com/transparency-dev/merkle/proof"
	"github.com/transparency-dev/merkle/rfc6962"
	"golang.org/x/mod/sumdb/tlog"
	"pgregory.net/rapid"

	"audittrail/modules/ledger"
	"audittrail/modules/ledger/ledgertest"
)

// The entries and roots that Certificate Transparency's own tests use for RFC 6962.
func TestRFC6962KnownVectors(t *testing.T) {
	var leaves []ledger.Hash
	for _, entry := range []string{"", "00", "10", "2021", "3031", "40414243", "5051525354555657", "606162636465666768696a6b6c6d6e6f"} {
		b, err := hex.DecodeString(entry)
		if err != nil {
			t.Fatal(err)
		}
		leaves = append(leaves, ledger.LeafHash(b))
	}
	m := ledgertest.NewMemory(t, leaves)
	for size, want := range []string{
		"e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
		"6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
		"fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
		"aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
		"d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
		"4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
		"76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
		"ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
		"5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
	} {
		if root := m.Root(int64(size)); hex.EncodeToString(root[:]) != want {
			t.Errorf("size %d: root %x", size, root)
		}
	}
}

// sizes draws sizes that lie near what matters: tiles and their edges.
func sizes(most int) *rapid.Generator[int] {
	return rapid.OneOf(
		rapid.IntRange(0, most),
		rapid.IntRange(0, min(most, 700)),
		rapid.Map(rapid.SampledFrom([]int{255, 256, 257, 511, 512, 65535, 65536, 65537, 65792, 131072, most}), func(n int) int { return min(n, most) }),
	)
}

// Whatever batches a log grows by, and whenever tiles are built, its root is the plain one.
func TestRootOfAnyGrowthIsThePlainOne(t *testing.T) {
	all := ledgertest.Numbered(140_000)
	rapid.Check(t, func(rt *rapid.T) {
		m := ledgertest.NewMemory(t, nil)
		for range rapid.IntRange(1, 6).Draw(rt, "appends") {
			count := sizes(len(all)-len(m.Hashes)).Draw(rt, "batch")
			m.Hashes = all[:len(m.Hashes)+count]
			if rapid.Bool().Draw(rt, "build") {
				m.Build(int64(len(m.Hashes)))
			}
			if size := rapid.IntRange(0, len(m.Hashes)).Draw(rt, "size"); m.Root(int64(size)) != ledgertest.PlainRoot(all[:size]) {
				rt.Fatalf("another root at size %d of %d", size, len(m.Hashes))
			}
		}
	})
}

func TestEachProofOfASmallLogVerifies(t *testing.T) {
	m := ledgertest.NewMemory(t, ledgertest.Numbered(70))
	for size := int64(1); size <= 70; size++ {
		root := m.Root(size)
		for index := range size {
			p := m.Inclusion(size, index)[0]
			if err := proof.VerifyInclusion(rfc6962.DefaultHasher, uint64(index), uint64(size), m.Hashes[index][:], slicesOf(p), root[:]); err != nil {
				t.Fatalf("inclusion of %d in %d: %v", index, size, err)
			}
			if err := ledger.VerifyInclusion(m.Hashes[index], index, size, p, root); err != nil {
				t.Fatalf("inclusion of %d in %d: %v", index, size, err)
			}
		}
		for from := int64(1); from <= size; from++ {
			p, old := m.Consistency(from, size), m.Root(from)
			if err := proof.VerifyConsistency(rfc6962.DefaultHasher, uint64(from), uint64(size), slicesOf(p), old[:], root[:]); err != nil {
				t.Fatalf("consistency of %d and %d: %v", from, size, err)
			}
		}
	}
}

func TestProofsOfLargeLogsVerify(t *testing.T) {
	m := ledgertest.NewMemory(t, ledgertest.Numbered(140_000))
	m.Build(131_500)
	rapid.Check(t, func(rt *rapid.T) {
		size := int64(1 + sizes(139_999).Draw(rt, "size"))
		root := m.Root(size)
		indexes := rapid.SliceOfN(rapid.Int64Range(0, size-1), 1, 30).Draw(rt, "indexes")
		for i, p := range m.Inclusion(size, indexes...) {
			if err := ledger.VerifyInclusion(m.Hashes[indexes[i]], indexes[i], size, p, root); err != nil {
				rt.Fatalf("inclusion of %d in %d: %v", indexes[i], size, err)
			}
		}
		from := rapid.Int64Range(1, size).Draw(rt, "from")
		if err := ledger.VerifyConsistency(from, size, m.Root(from), root, m.Consistency(from, size)); err != nil {
			rt.Fatalf("consistency of %d and %d: %v", from, size, err)
		}
	})
}

func TestMutatedInclusionNeverVerifies(t *testing.T) {
	m := ledgertest.NewMemory(t, ledgertest.Numbered(3000))
	rapid.Check(t, func(rt *rapid.T) {
		size := int64(2 + sizes(2998).Draw(rt, "size"))
		index := rapid.Int64Range(0, size-1).Draw(rt, "index")
		leaf, root, p := m.Hashes[index], m.Root(size), m.Inclusion(size, index)[0]
		switch rapid.IntRange(0, 6).Draw(rt, "mutation") {
		case 0:
			flip(rt, &leaf)
		case 1:
			flip(rt, &root)
		case 2:
			flip(rt, &p[rapid.IntRange(0, len(p)-1).Draw(rt, "hash")])
		case 3:
			p = slices.Delete(p, 0, rapid.IntRange(1, len(p)).Draw(rt, "cut"))
		case 4:
			p = append(p, m.Hashes[0])
		case 5:
			other := rapid.Int64Range(-1, size).Filter(func(i int64) bool { return i != index }).Draw(rt, "other index")
			index = other
		case 6:
			// The path of a proof, and so its verdict, is the same for many sizes: a checkpoint's signature
			// binds the size. So only sizes that the entry does not lie in are sure to be refused.
			size = rapid.Int64Range(0, index).Draw(rt, "other size")
		}
		if ledger.VerifyInclusion(leaf, index, size, p, root) == nil {
			rt.Fatal("verified")
		}
	})
}

func TestMutatedConsistencyNeverVerifies(t *testing.T) {
	m := ledgertest.NewMemory(t, ledgertest.Numbered(3000))
	rapid.Check(t, func(rt *rapid.T) {
		to := int64(2 + sizes(2998).Draw(rt, "to"))
		from := rapid.Int64Range(1, to-1).Draw(rt, "from")
		old, root, p := m.Root(from), m.Root(to), m.Consistency(from, to)
		switch rapid.IntRange(0, 5).Draw(rt, "mutation") {
		case 0:
			flip(rt, &old)
		case 1:
			flip(rt, &root)
		case 2:
			flip(rt, &p[rapid.IntRange(0, len(p)-1).Draw(rt, "hash")])
		case 3:
			p = p[:len(p)-1]
		case 4:
			p = append(p, root)
		case 5:
			from, to = to, from
		}
		if ledger.VerifyConsistency(from, to, old, root, p) == nil {
			rt.Fatal("verified")
		}
	})
}

// An empty log must not vouch for whatever is shown as its root.
func TestConsistencyWithAnEmptyLog(t *testing.T) {
	empty, one := ledger.EmptyRoot(), ledgertest.Numbered(1)[0]
	for _, c := range []struct {
		name             string
		from, to         int64
		fromRoot, toRoot ledger.Hash
		proof            ledger.Proof
		ok               bool
	}{
		{"an empty log grows", 0, 1, empty, one, nil, true},
		{"an empty log stays", 0, 0, empty, empty, nil, true},
		{"another root of nothing", 0, 1, one, one, nil, false},
		{"another root of nothing, twice", 0, 0, one, one, nil, false},
		{"a proof from nothing", 0, 1, empty, one, ledger.Proof{one}, false},
		{"negative", -1, 1, empty, one, nil, false},
		{"shrinking to nothing", 1, 0, one, empty, nil, false},
		{"no proof", 1, 2, one, one, nil, false},
	} {
		if err := ledger.VerifyConsistency(c.from, c.to, c.fromRoot, c.toRoot, c.proof); (err == nil) != c.ok {
			t.Errorf("%s: %v", c.name, err)
		}
	}
	if _, err := ledgertest.NewMemory(t, ledgertest.Numbered(1)).Prover(1).Consistency(t.Context(), 0); err == nil {
		t.Error("proved that a log follows an empty one")
	}
}

func TestProofsAreCapped(t *testing.T) {
	long := make(ledger.Proof, ledger.MaxProof+1)
	if err := ledger.VerifyInclusion(ledger.Hash{}, 0, 1<<62, long, ledger.Hash{}); !errors.Is(err, ledger.ErrProofLong) {
		t.Errorf("inclusion: %v", err)
	}
	if err := ledger.VerifyConsistency(1, 1<<62, ledger.Hash{}, ledger.Hash{}, long); !errors.Is(err, ledger.ErrProofLong) {
		t.Errorf("consistency: %v", err)
	}
}

// x/mod's tlog knows the layout of tiles: what it reads from leaves is what is built here.
func TestTilesAreThoseOfTlog(t *testing.T) {
	const size = 66_700
	m := ledgertest.NewMemory(t, ledgertest.Numbered(size))
	for _, step := range []int64{0, 1, 255, 256, 300, 65_536, 65_537, size} {
		m.Build(step)
	}
	var stored []tlog.Hash
	reader := tlog.HashReaderFunc(func(indexes []int64) ([]tlog.Hash, error) {
		out := make([]tlog.Hash, len(indexes))
		for i, index := range indexes {
			out[i] = stored[index]
		}
		return out, nil
	})
	for i, leaf := range m.Hashes {
		hashes, err := tlog.StoredHashesForRecordHash(int64(i), tlog.Hash(leaf), reader)
		if err != nil {
			t.Fatal(err)
		}
		stored = append(stored, hashes...)
	}
	tiles := tlog.NewTiles(ledger.TileHeight, 0, size)
	if len(tiles) < 260 {
		t.Fatalf("only %d tiles", len(tiles))
	}
	for _, tile := range tiles {
		want, err := tlog.ReadTileData(tile, reader)
		if err != nil {
			t.Fatal(err)
		}
		id := ledger.TileID{Level: tile.L, Index: tile.N}
		got, err := ledger.ReadTile(t.Context(), m, id, tile.W)
		if err != nil {
			t.Fatal(err)
		}
		if !slices.Equal(ledger.AppendHashes(nil, got), want) || id.WidthAt(size) != tile.W {
			t.Fatalf("tile %v differs", tile)
		}
		if tile.L > 0 && len(m.Stored[id]) != tile.W {
			t.Errorf("of tile %v %d hashes are stored", tile, len(m.Stored[id]))
		}
		path := id.Path(tile.W)
		if back, width, err := ledger.ParseTilePath(path); err != nil || back != id || width != tile.W || "tile/8/"+path != tile.Path() {
			t.Errorf("path %s: %v %d %v", path, back, width, err)
		}
	}
}

func TestTilePathsHaveOneSpelling(t *testing.T) {
	for _, path := range []string{"", "0", "0/", "8/000", "64/000", "-1/000", "data/000", "00/000", "0/0", "0/1000", "0/x001", "0/000/001",
		"0/000.p/0", "0/000.p/256", "0/000.p/05", "0/000.p/", "0/000/", "0/x000/001", "entries/000", "0/../000", "0/+01", "0/x999/x999/x999/x999/x999/x999/x999/999",
		"0/x072/x057/x594/x037/x927/936", "1/x072/x057/x594/x037/x927/936", "7/001"} { // 2^56: times 256 it is 0 again
		if id, width, err := ledger.ParseTilePath(path); err == nil {
			t.Errorf("%s is read as %v, %d", path, id, width)
		}
	}
	if id, width, err := ledger.ParseTilePath("1/x001/x234/067.p/17"); err != nil || id != (ledger.TileID{Level: 1, Index: 1234067}) || width != 17 {
		t.Error(id, width, err)
	}
}

// An index so large that its first position overflows is of no tile.
func TestTilesBeyondAnyLogAreEmpty(t *testing.T) {
	m := ledgertest.NewMemory(t, ledgertest.Numbered(300))
	for _, id := range []ledger.TileID{{Level: 0, Index: 1 << 56}, {Level: 1, Index: 1 << 56}, {Level: 0, Index: -1}, {Level: 7, Index: 1}} {
		if width := id.WidthAt(math.MaxInt64); width != 0 && id.Index != 1 {
			t.Errorf("%v has %d hashes", id, width)
		}
		if _, err := ledger.ReadTile(t.Context(), m, id, 1); err == nil {
			t.Errorf("%v can be read", id)
		}
	}
}

// A store that answers less than it has, or none of what was built, still gives the same hashes.
func TestMissingTilesAreComputed(t *testing.T) {
	m := ledgertest.NewMemory(t, ledgertest.Numbered(140_000))
	m.Build(140_000)
	proofs := m.Inclusion(140_000, 5, 70_000, 139_999)
	for id, hashes := range m.Stored {
		m.Stored[id] = hashes[:len(hashes)/3]
	}
	for i, p := range m.Inclusion(140_000, 5, 70_000, 139_999) {
		if !slices.Equal(p, proofs[i]) {
			t.Errorf("proof %d differs", i)
		}
	}
}

func TestBuildTilesGoesOnAfterAFailure(t *testing.T) {
	m, broken := ledgertest.NewMemory(t, ledgertest.Numbered(200_000)), errors.New("no space left")
	whole := ledgertest.NewMemory(t, m.Hashes)
	whole.Build(200_000)
	for m.Size < 200_000 {
		steps := 0
		err := ledger.BuildTiles(t.Context(), m, m.Size, 200_000, func(ctx context.Context, size int64, parts []ledger.TilePart) error {
			if steps++; steps > 1 {
				return broken
			}
			return m.Write(ctx, size, parts)
		})
		if err != nil && !errors.Is(err, broken) {
			t.Fatal(err)
		}
	}
	for id, hashes := range whole.Stored {
		if !slices.Equal(hashes, m.Stored[id]) {
			t.Errorf("tile %v differs", id)
		}
	}
	if ledger.BuildTiles(t.Context(), m, 5, 4, m.Write) == nil || ledger.BuildTiles(t.Context(), m, -1, 4, m.Write) == nil {
		t.Error("built backwards")
	}
}

// unfit is a reader whose answers do not fit what it was asked for.
type unfit struct {
	*ledgertest.Memory
	leaves, tiles func([][]ledger.Hash) [][]ledger.Hash // what becomes of its answers; nil for nothing
}

func (u unfit) Leaves(ctx context.Context, ranges []ledger.Range) ([][]ledger.Hash, error) {
	answer, err := u.Memory.Leaves(ctx, ranges)
	if u.leaves != nil {
		answer = u.leaves(answer)
	}
	return answer, err
}

func (u unfit) Tiles(ctx context.Context, ids []ledger.TileID) ([][]ledger.Hash, error) {
	answer, err := u.Memory.Tiles(ctx, ids)
	if u.tiles != nil {
		answer = u.tiles(answer)
	}
	return answer, err
}

// A reader that answers too little or too much is refused: no root is made of it, and nothing panics.
func TestReadersThatAnswerAmissAreRefused(t *testing.T) {
	m := ledgertest.NewMemory(t, ledgertest.Numbered(70_000))
	m.Build(70_000)
	answerLess := func(answer [][]ledger.Hash) [][]ledger.Hash { return answer[:len(answer)-1] }
	answerMore := func(answer [][]ledger.Hash) [][]ledger.Hash { return append(answer, answer[0]) }
	hashLess := func(answer [][]ledger.Hash) [][]ledger.Hash {
		answer[0] = answer[0][1:]
		return answer
	}
	hashMore := func(answer [][]ledger.Hash) [][]ledger.Hash {
		answer[0] = append(slices.Clip(answer[0]), make([]ledger.Hash, ledger.TileWidth)...)
		return answer
	}
	for name, r := range map[string]unfit{
		"a range less":         {m, answerLess, nil},
		"a range more":         {m, answerMore, nil},
		"a leaf less":          {m, hashLess, nil},
		"leaves more":          {m, hashMore, nil},
		"a tile less":          {m, nil, answerLess},
		"a tile more":          {m, nil, answerMore},
		"a tile that is wider": {m, nil, hashMore},
	} {
		t.Run(name, func(t *testing.T) {
			p, err := ledger.NewProver(r, 70_000)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := p.Root(t.Context()); !errors.Is(err, ledger.ErrIncomplete) {
				t.Errorf("its root: %v", err)
			}
			if _, err := p.Inclusion(t.Context(), 0, 69_999); !errors.Is(err, ledger.ErrIncomplete) {
				t.Errorf("its proofs: %v", err)
			}
		})
	}
	// Of stored tiles there may always be less: the rest is computed.
	p, err := ledger.NewProver(unfit{m, nil, func(answer [][]ledger.Hash) [][]ledger.Hash { return make([][]ledger.Hash, len(answer)) }}, 70_000)
	if err != nil {
		t.Fatal(err)
	}
	if root, err := p.Root(t.Context()); err != nil || root != m.Root(70_000) {
		t.Error(err)
	}
}

func TestOnlyWhatIsInTheLogIsProven(t *testing.T) {
	p := ledgertest.NewMemory(t, ledgertest.Numbered(300)).Prover(300)
	if _, err := p.Inclusion(t.Context(), 300); err == nil {
		t.Error("proved what is not there")
	}
	if _, err := p.Inclusion(t.Context(), -1); err == nil {
		t.Error("proved what can't be")
	}
}

func flip(t *rapid.T, h *ledger.Hash) {
	h[rapid.IntRange(0, ledger.HashSize-1).Draw(t, "byte")] ^= 1 << rapid.IntRange(0, 7).Draw(t, "bit")
}

func slicesOf(p ledger.Proof) [][]byte {
	out := make([][]byte, len(p))
	for i := range p {
		out[i] = p[i][:]
	}
	return out
}
