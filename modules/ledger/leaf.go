package ledger

import (
	"crypto/sha256"

	"audittrail/modules/event"
)

// The first bytes of what is hashed (RFC 6962, section 2.1), so that no leaf can pass for an inner node.
const (
	leafPrefix = 0
	nodePrefix = 1
)

// leafSpace is the space on the stack in which an event's canonical form is made; only larger ones
// allocate. Ingest makes one leaf an event.
const leafSpace = 2048

// LeafHash is the leaf of an entry in its canonical form: SHA-256(0x00 ‖ canonical).
func LeafHash(canonical []byte) Hash {
	var space [leafSpace]byte
	return sha256.Sum256(append(append(space[:0], leafPrefix), canonical...))
}

// EventLeaf is the leaf of an event, computed from the event itself; its position is not in it.
// s.Payload and s.Metadata MUST be canonical.
func EventLeaf(s *event.Stored) Hash {
	var space [leafSpace]byte
	return sha256.Sum256(s.AppendCanonical(append(space[:0], leafPrefix)))
}

// NodeHash is the inner node over two: SHA-256(0x01 ‖ left ‖ right).
func NodeHash(left, right Hash) Hash {
	var b [1 + 2*HashSize]byte
	b[0] = nodePrefix
	copy(b[1:], left[:])
	copy(b[1+HashSize:], right[:])
	return sha256.Sum256(b[:])
}

// EmptyRoot is the root of a log without entries: SHA-256 of nothing.
func EmptyRoot() Hash { return sha256.Sum256(nil) }

// AppendHashes appends hashes as they are stored and served: one behind the other.
func AppendHashes(dst []byte, hashes []Hash) []byte {
	for i := range hashes {
		dst = append(dst, hashes[i][:]...)
	}
	return dst
}

// SplitHashes reads what AppendHashes writes. ok is false where b is not whole hashes.
func SplitHashes(b []byte) (hashes []Hash, ok bool) {
	if len(b)%HashSize != 0 {
		return nil, false
	}
	hashes = make([]Hash, len(b)/HashSize)
	for i := range hashes {
		copy(hashes[i][:], b[i*HashSize:])
	}
	return hashes, true
}
