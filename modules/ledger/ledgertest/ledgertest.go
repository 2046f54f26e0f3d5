// Package ledgertest has logs in memory, keys and signatures for tests.
package ledgertest

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"testing"
	"time"

	"golang.org/x/mod/sumdb/note"

	"audittrail/modules/event"
	"audittrail/modules/event/eventtest"
	"audittrail/modules/ledger"
)

// Origin is the origin of the keys.
const Origin = "audit.example.com/shop"

// Key returns a signing key made of one byte.
func Key(t testing.TB, seed byte) ledger.SigningKey {
	t.Helper()
	k, err := ledger.GenerateKey(Origin, bytes.NewReader(bytes.Repeat([]byte{seed}, 32)))
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// Keys parses verifier keys.
func Keys(t testing.TB, texts ...string) ledger.Keys {
	t.Helper()
	keys, err := ledger.ParseKeys(texts...)
	if err != nil {
		t.Fatal(err)
	}
	return keys
}

// Trusting returns the verifier keys of both logs.
func Trusting(t testing.TB, k ledger.SigningKey) ledger.Keys {
	t.Helper()
	return Keys(t, k.VerifierKey(ledger.Events), k.VerifierKey(ledger.Access))
}

// Sign returns a signed checkpoint.
func Sign(t testing.TB, log ledger.Log, size int64, root ledger.Hash, keys ...ledger.SigningKey) []byte {
	t.Helper()
	var signers []note.Signer
	for _, k := range keys {
		s, err := k.Signer(log)
		if err != nil {
			t.Fatal(err)
		}
		signers = append(signers, s)
	}
	signed, err := ledger.Checkpoint{Origin: log.Origin(Origin), Size: size, Root: root}.Sign(signers...)
	if err != nil {
		t.Fatal(err)
	}
	return signed
}

// Memory is a Reader over slices, as the store will be one over rows. It holds the Reader's contract
// against whoever calls it.
type Memory struct {
	t      testing.TB
	Hashes []ledger.Hash
	Size   int64 // up to which tiles are stored
	Stored map[ledger.TileID][]ledger.Hash
	Calls  int
}

// NewMemory returns a log in memory of these leaves.
func NewMemory(t testing.TB, leaves []ledger.Hash) *Memory {
	t.Helper()
	return &Memory{t: t, Hashes: leaves, Stored: map[ledger.TileID][]ledger.Hash{}}
}

// Leaves implements ledger.Reader.
func (m *Memory) Leaves(_ context.Context, ranges []ledger.Range) ([][]ledger.Hash, error) {
	m.Calls++
	var out [][]ledger.Hash
	var sum int64
	for _, g := range ranges {
		if g.From < 0 || g.From >= g.To || g.To > int64(len(m.Hashes)) {
			return nil, fmt.Errorf("asked for leaves %d to %d of %d", g.From, g.To, len(m.Hashes))
		}
		sum += g.To - g.From
		out = append(out, m.Hashes[g.From:g.To:g.To])
	}
	if sum > ledger.MaxLeaves {
		return nil, fmt.Errorf("asked for %d leaves at once", sum)
	}
	return out, nil
}

// Tiles implements ledger.Reader.
func (m *Memory) Tiles(_ context.Context, ids []ledger.TileID) ([][]ledger.Hash, error) {
	m.Calls++
	if len(ids) > ledger.MaxTiles {
		return nil, fmt.Errorf("asked for %d tiles at once", len(ids))
	}
	out := make([][]ledger.Hash, len(ids))
	for i, id := range ids {
		if id.Level < 1 || id.WidthAt(int64(len(m.Hashes))) == 0 {
			return nil, fmt.Errorf("asked for tile %v", id)
		}
		out[i] = m.Stored[id]
	}
	return out, nil
}

// Write stores what BuildTiles makes.
func (m *Memory) Write(_ context.Context, size int64, parts []ledger.TilePart) error {
	for _, p := range parts {
		if have := len(m.Stored[p.Tile]); have != p.Offset || have+len(p.Hashes) > ledger.TileWidth || len(p.Hashes) == 0 {
			return fmt.Errorf("tile %v has %d hashes, and %d come for offset %d", p.Tile, have, len(p.Hashes), p.Offset)
		}
		m.Stored[p.Tile] = append(m.Stored[p.Tile], p.Hashes...)
	}
	m.Size = size
	return nil
}

// Build stores the tiles of size.
func (m *Memory) Build(size int64) {
	m.t.Helper()
	if err := ledger.BuildTiles(m.t.Context(), m, m.Size, size, m.Write); err != nil {
		m.t.Fatal(err)
	}
}

// Prover returns a prover for the log of this size.
func (m *Memory) Prover(size int64) *ledger.Prover {
	m.t.Helper()
	p, err := ledger.NewProver(m, size)
	if err != nil {
		m.t.Fatal(err)
	}
	return p
}

// Root returns the root hash of the log of this size.
func (m *Memory) Root(size int64) ledger.Hash {
	m.t.Helper()
	root, err := m.Prover(size).Root(m.t.Context())
	if err != nil {
		m.t.Fatal(err)
	}
	return root
}

// Inclusion returns the inclusion proofs of the indexes in the log of this size.
func (m *Memory) Inclusion(size int64, indexes ...int64) []ledger.Proof {
	m.t.Helper()
	proofs, err := m.Prover(size).Inclusion(m.t.Context(), indexes...)
	if err != nil {
		m.t.Fatal(err)
	}
	return proofs
}

// Consistency returns the proof that the log of size to extends that of size from.
func (m *Memory) Consistency(from, to int64) ledger.Proof {
	m.t.Helper()
	p, err := m.Prover(to).Consistency(m.t.Context(), from)
	if err != nil {
		m.t.Fatal(err)
	}
	return p
}

// Numbered are n leaves, all different.
func Numbered(n int) []ledger.Hash {
	out := make([]ledger.Hash, n)
	for i := range out {
		out[i] = ledger.LeafHash(binary.BigEndian.AppendUint64(nil, uint64(i)))
	}
	return out
}

// StoredEvents are n events as the store has them, at positions from 0 on: real ones, and odd ones,
// over and over. Each has an id and a salt of its own, always the same.
func StoredEvents(t testing.TB, n int) []event.Stored {
	t.Helper()
	var templates []event.Event
	values := eventtest.PurchaseOrders()
	for _, c := range eventtest.Good() {
		if len(c.Value) < 4096 {
			values = append(values, c.Value)
		}
	}
	for _, value := range values {
		decoded, rejected := event.Decode(event.Raw{Value: value})
		if rejected != nil {
			t.Fatal(rejected.Detail)
		}
		valid, rejected := decoded.Validate(event.DefaultRules(), eventtest.Now())
		if rejected != nil {
			t.Fatal(rejected.Detail)
		}
		templates = append(templates, *valid.Event())
	}
	out := make([]event.Stored, n)
	for i := range out {
		s := event.Stored{
			Event:      templates[i%len(templates)],
			Position:   int64(i),
			RecordedAt: eventtest.Now().Add(time.Duration(i/100) * time.Millisecond),
			Kafka:      event.Coordinates{Topic: "orders", Partition: int32(i % 7), Offset: int64(i / 7)},
		}
		binary.BigEndian.PutUint64(s.ID[8:], uint64(i)|1<<63)
		binary.BigEndian.PutUint64(s.Salt[4:], uint64(i)*0x9e3779b97f4a7c15+1)
		out[i] = s
	}
	return out
}

// Canonical is a JSON text in canonical form.
func Canonical(t testing.TB, text string) string {
	t.Helper()
	out, err := event.Canonicalize(nil, []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return string(out)
}

// PlainRoot is RFC 6962 section 2.1 word for word: what everything else is held against.
func PlainRoot(leaves []ledger.Hash) ledger.Hash {
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
		left, right := PlainRoot(leaves[:k]), PlainRoot(leaves[k:])
		return sha256.Sum256(append(append([]byte{1}, left[:]...), right[:]...))
	}
}
