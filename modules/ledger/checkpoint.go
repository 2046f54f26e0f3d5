package ledger

import (
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/transparency-dev/formats/log"
	"golang.org/x/mod/sumdb/note"
)

// Checkpoint is the head of a log: that it has the root at the size. Signed it is a note (C2SP
// signed-note) whose text is that of C2SP tlog-checkpoint.
type Checkpoint struct {
	Origin     string   // the log's own name: ledger.origin, a slash, and the log
	Size       int64    // entries
	Root       Hash     // at the size
	Extensions []string // lines that we make no use of, and keep; none is empty
}

// MaxCheckpoint bounds a signed checkpoint, in bytes: room for a hundred witnesses.
const MaxCheckpoint = 256 << 10

var (
	errCheckpoint = errors.New("is not a checkpoint: a log's name, its size and its root on a line each")
	errEmptyLog   = errors.New("says that an empty log has another root than an empty log has")
	errNoSigner   = errors.New("no key to sign with")
)

// Text is the text of the note, which the signatures are over.
func (c Checkpoint) Text() string {
	text := log.Checkpoint{Origin: c.Origin, Size: uint64(c.Size), Hash: c.Root[:]}.Marshal()
	for _, line := range c.Extensions {
		text = append(append(text, line...), '\n')
	}
	return string(text)
}

// ParseCheckpoint reads what Text writes, and no other spelling of it. It verifies nothing.
func ParseCheckpoint(text string) (Checkpoint, error) {
	var parsed log.Checkpoint
	rest, err := parsed.Unmarshal([]byte(text))
	if err != nil || len(parsed.Hash) != HashSize || parsed.Size > math.MaxInt64 {
		return Checkpoint{}, errCheckpoint
	}
	c := Checkpoint{Origin: parsed.Origin, Size: int64(parsed.Size), Root: Hash(parsed.Hash)}
	if len(rest) > 0 {
		c.Extensions = strings.Split(strings.TrimSuffix(string(rest), "\n"), "\n")
	}
	// The library takes leading zeros and loose base64: nothing of that may pass.
	if c.Text() != text || slices.Contains(c.Extensions, "") {
		return Checkpoint{}, errCheckpoint
	}
	if c.Size == 0 && c.Root != EmptyRoot() {
		return Checkpoint{}, errEmptyLog
	}
	return c, nil
}

// Sign makes the signed note: one signature for each signer, whose name MUST be the checkpoint's origin.
// It does not ask whether the log really is so; the caller MUST have proven that it is what it signed
// before, and more.
func (c Checkpoint) Sign(signers ...note.Signer) ([]byte, error) {
	if len(signers) == 0 {
		return nil, errNoSigner
	}
	for _, s := range signers {
		if s.Name() != c.Origin {
			return nil, fmt.Errorf("the key of %s does not sign for %s", s.Name(), c.Origin)
		}
	}
	text := c.Text()
	control := func(r rune) bool { return r < ' ' && r != '\n' }
	if _, err := ParseCheckpoint(text); err != nil || !utf8.ValidString(text) || strings.ContainsFunc(text, control) {
		return nil, errCheckpoint // of a negative size, say: the note would not open again
	}
	signed, err := note.Sign(&note.Note{Text: text}, signers...)
	if err != nil {
		return nil, fmt.Errorf("sign checkpoint: %w", err)
	}
	return signed, nil
}

// Signed is a checkpoint that was verified.
type Signed struct {
	Checkpoint
	Note []byte   // as it was read
	Keys []string // who signed it and is trusted: <name>+<key id>
}

// CheckpointFault is why a checkpoint can't be trusted.
type CheckpointFault string

// The faults of checkpoints.
const (
	Malformed    CheckpointFault = "malformed"     // it is no checkpoint
	BadSignature CheckpointFault = "bad_signature" // it or its signature was changed
	UnknownKey   CheckpointFault = "unknown_key"   // nobody who is trusted signed it
	WrongLog     CheckpointFault = "wrong_log"     // a trusted key signed it, which is another log's
)

// CheckpointError says why a signed checkpoint is not to be believed, in words for people.
type CheckpointError struct {
	Kind   CheckpointFault // Malformed, BadSignature, UnknownKey or WrongLog
	Detail string
	Keys   []string // of UnknownKey: who is said to have signed it, <name>+<key id>
}

func (e *CheckpointError) Error() string { return "the checkpoint " + e.Detail }

// OpenCheckpoint verifies a signed checkpoint: it MUST carry a good signature by one of keys under the
// checkpoint's own origin, and none by any of keys that is wrong. Signatures of other keys are passed
// over, as the specification has it: witnesses, and keys of other times. The error is a
// *CheckpointError.
func OpenCheckpoint(signed []byte, keys Keys) (Signed, error) {
	if len(signed) > MaxCheckpoint {
		return Signed{}, &CheckpointError{Kind: Malformed, Detail: "is longer than any checkpoint"}
	}
	opened, err := note.Open(signed, keys)
	if err != nil && bytes.Contains(signed, []byte("\r\n")) { // which no note has
		return Signed{}, &CheckpointError{Kind: Malformed, Detail: "is changed: its lines end as Windows has them (CR LF), and were signed with LF alone"}
	}
	if err != nil {
		return Signed{}, explainNote(err, keys)
	}
	if !strictSignatures(signed) {
		return Signed{}, &CheckpointError{Kind: Malformed, Detail: "has a signature that is not spelled as signatures are"}
	}
	c, err := ParseCheckpoint(opened.Text)
	if err != nil {
		return Signed{}, &CheckpointError{Kind: Malformed, Detail: err.Error()}
	}
	out := Signed{Checkpoint: c, Note: bytes.Clone(signed)}
	for _, s := range opened.Sigs {
		if s.Name == c.Origin {
			out.Keys = append(out.Keys, keyID(s.Name, s.Hash))
		}
	}
	if len(out.Keys) == 0 {
		return Signed{}, &CheckpointError{Kind: WrongLog, Detail: "speaks for the log " + Printable(c.Origin) + ", but is signed by the key of " + listed(idsOf(opened.Sigs))}
	}
	return out, nil
}

// explainNote puts into words why a note did not open.
func explainNote(err error, keys Keys) *CheckpointError {
	var invalid *note.InvalidSignatureError
	var unverified *note.UnverifiedNoteError
	switch {
	case errors.As(err, &invalid):
		return &CheckpointError{Kind: BadSignature, Detail: "was changed after it was signed, or its signature was: that of " + keyID(invalid.Name, invalid.Hash) + " does not fit"}
	case errors.As(err, &unverified):
		return explainUnknown(unverified.Note.UnverifiedSigs, keys)
	}
	return &CheckpointError{Kind: Malformed, Detail: "is cut or changed: it is not a text with signatures any more"}
}

// explainUnknown says who signed a note that none of keys has. Whether the note was changed since can't be
// told then.
func explainUnknown(signatures []note.Signature, keys Keys) *CheckpointError {
	signers := idsOf(signatures)
	detail := "is not signed by any of the keys given (" + listed(keys.IDs()) + "), but by " + listed(signers) +
		": without that key nobody can tell whether it is genuine"
	for _, s := range signatures {
		if keys.names(s.Name) {
			detail += ". A key of that log was given, but another one: after a rotation each checkpoint keeps the key that it was signed by"
			break
		}
	}
	return &CheckpointError{Kind: UnknownKey, Detail: detail, Keys: signers}
}

func idsOf(signatures []note.Signature) []string {
	var ids []string
	for _, s := range signatures {
		ids = append(ids, keyID(s.Name, s.Hash))
	}
	return ids
}

// strictSignatures reports whether the signatures of a well-formed note have their one spelling in
// base64. The note package takes more; verifiers in other languages need not.
func strictSignatures(signed []byte) bool {
	lines := signed[bytes.LastIndex(signed, []byte("\n\n"))+2:]
	for line := range bytes.Lines(lines) {
		encoded := string(bytes.TrimSuffix(line[bytes.LastIndexByte(line, ' ')+1:], []byte{'\n'}))
		decoded, err := base64.StdEncoding.DecodeString(encoded)
		if err != nil || base64.StdEncoding.EncodeToString(decoded) != encoded {
			return false
		}
	}
	return true
}
