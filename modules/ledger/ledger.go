// Package ledger is the transparency log: what makes it provable that no event was changed, removed,
// inserted or moved since it was stored.
//
// A log is an RFC 6962 Merkle tree. Its leaves are hashes of events in their canonical form, its inner
// hashes lie in tiles, its root is signed from time to time: a checkpoint. An inclusion proof leads from
// one leaf to a checkpoint's root, a consistency proof from one checkpoint to a later one, an evidence
// bundle is events with their inclusion proofs and the checkpoint. docs/EVIDENCE.md has all of it to the
// byte; tiles, checkpoints, notes and the textual proof are those of the C2SP specifications tlog-tiles,
// tlog-checkpoint, signed-note and tlog-proof, so that existing tools read them.
//
// It is pure: no database, no clock, no files, no goroutines. Where stored hashes are needed, a Reader
// gives them. It never takes anybody's word for a leaf: whoever verifies recomputes it from the event.
package ledger

import (
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"strings"
)

// HashSize is the size of each hash of the tree, in bytes: SHA-256's.
const HashSize = sha256.Size

// Hash is a node of the tree: a leaf, an inner node or a root.
type Hash [HashSize]byte

// String is the hash in base64, as proofs and checkpoints spell it.
func (h Hash) String() string { return base64.StdEncoding.EncodeToString(h[:]) }

var errHash = errors.New("is not a hash of 32 bytes in base64")

// encodedHash is the length of a hash in base64.
const encodedHash = 44

// ParseHash reads what String writes, and no other spelling of it.
func ParseHash(s string) (Hash, error) {
	var decoded [encodedHash / 4 * 3]byte
	var again [encodedHash]byte
	if len(s) != encodedHash {
		return Hash{}, errHash
	}
	n, err := base64.StdEncoding.Decode(decoded[:], []byte(s))
	if err != nil || n != HashSize {
		return Hash{}, errHash
	}
	// base64 skips line breaks and ignores the last bits: a hash must not have several spellings.
	if base64.StdEncoding.Encode(again[:], decoded[:n]); string(again[:]) != s {
		return Hash{}, errHash
	}
	return Hash(decoded[:n]), nil
}

// Log names one of the logs.
type Log string

// The logs.
const (
	Events Log = "events" // leaves are events
	Access Log = "access" // leaves are entries of the access log
)

// Logs are all logs, in the order in which they are listed.
func Logs() []Log { return []Log{Events, Access} }

// Origin is the log's own name: the first line of its checkpoints and the name of the key that signs
// them. base is ledger.origin.
func (l Log) Origin(base string) string { return base + "/" + string(l) }

// ParseLog reads a log's name.
func ParseLog(s string) (Log, error) {
	for _, l := range Logs() {
		if string(l) == s {
			return l, nil
		}
	}
	return "", errors.New(`is not a log: "events" and "access" are`)
}

// LogOf tells the log that a checkpoint's origin belongs to; ok is false where it is none of ours.
func LogOf(origin string) (log Log, ok bool) {
	for _, l := range Logs() {
		if base, found := strings.CutSuffix(origin, l.Origin("")); found && base != "" {
			return l, true
		}
	}
	return "", false
}
