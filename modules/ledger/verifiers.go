package ledger

import (
	"encoding/base64"
	"errors"
	"fmt"
	"slices"
	"strings"

	"golang.org/x/mod/sumdb/note"
)

// Keys are the verifier keys that somebody trusts, as several --key give them: of both logs, and older
// ones whose checkpoints are still to be verified. The zero Keys trusts nobody.
type Keys struct{ list []verifierKey }

// verifierKey is a verifier and the text that it was read from.
type verifierKey struct {
	note.Verifier
	text string
}

// What is wrong with verifier keys.
var (
	errVerifier  = errors.New("is not a verifier key: <name>+<8 hexadecimal digits>+<base64>, of type Ed25519")
	errPrivate   = errors.New("is a private signing key, or has one in it; give its verifier key, and treat the private one as disclosed if others could read it here")
	errAmbiguous = errors.New("has the name and the id of another key, but is another")
)

// ParseKeys reads verifier keys: each text is a key, or what a file of keys holds: one a line, with
// blank lines and lines that begin with # between them. The same key may be given twice. The error names
// the text, from 1, and never quotes it.
func ParseKeys(texts ...string) (Keys, error) {
	var keys Keys
	for i, text := range texts {
		if len(text) > maxKeyText {
			return Keys{}, fmt.Errorf("key %d %w", i+1, errManyKeys)
		}
		before := len(keys.list)
		for line := range strings.Lines(text) {
			line = strings.TrimSpace(line)
			if line == "" || line[0] == '#' {
				continue
			}
			if err := keys.add(line); err != nil {
				return Keys{}, fmt.Errorf("key %d %w", i+1, err)
			}
		}
		if before == len(keys.list) && strings.Trim(text, " \t\r\n") == "" {
			return Keys{}, fmt.Errorf("key %d %w", i+1, errNoKey)
		}
	}
	if len(keys.list) == 0 {
		return Keys{}, errNoKey
	}
	return keys, nil
}

// HoldsPrivateKey tells whether a text has a signing key in it, whole or not, wherever it begins.
func HoldsPrivateKey(s string) bool { return strings.Contains(s, privatePrefix) }

// IsKeyText tells a key from the name of a file that holds keys. What has a signing key in it is no name:
// nobody should look for such a file, and tell its name.
func IsKeyText(s string) bool {
	if HoldsPrivateKey(s) {
		return true
	}
	_, err := note.NewVerifier(strings.TrimSpace(s))
	return err == nil
}

func (k *Keys) add(text string) error {
	if HoldsPrivateKey(text) {
		return errPrivate
	}
	verifier, err := note.NewVerifier(text)
	if err != nil || !strictKey(text, verifier) {
		return errVerifier
	}
	for _, other := range k.list {
		if other.Name() == verifier.Name() && other.KeyHash() == verifier.KeyHash() {
			if other.text == text {
				return nil
			}
			return errAmbiguous
		}
	}
	if len(k.list) == maxKeys {
		return errManyKeys
	}
	k.list = append(k.list, verifierKey{verifier, text})
	return nil
}

// strictKey reports whether a key that could be read has the one spelling of it.
func strictKey(text string, v note.Verifier) bool {
	start := fmt.Sprintf("%s+%08x+", v.Name(), v.KeyHash())
	encoded, ok := strings.CutPrefix(text, start)
	decoded, err := base64.StdEncoding.DecodeString(encoded)
	return ok && err == nil && base64.StdEncoding.EncodeToString(decoded) == encoded
}

// Verifier finds a key by its name and id, as note.Verifiers wants it.
func (k Keys) Verifier(name string, hash uint32) (note.Verifier, error) {
	for _, key := range k.list {
		if key.Name() == name && key.KeyHash() == hash {
			return key.Verifier, nil
		}
	}
	return nil, &note.UnknownVerifierError{Name: name, KeyHash: hash}
}

// names tells whether a key of that name is trusted, whatever its id.
func (k Keys) names(name string) bool {
	return slices.ContainsFunc(k.list, func(key verifierKey) bool { return key.Name() == name })
}

// IDs are the keys as people tell them apart: <name>+<key id>, sorted.
func (k Keys) IDs() []string {
	ids := make([]string, len(k.list))
	for i, key := range k.list {
		ids[i] = keyID(key.Name(), key.KeyHash())
	}
	slices.Sort(ids)
	return ids
}

// Texts are the keys of one name, as they were read.
func (k Keys) Texts(name string) (texts []string) {
	for _, key := range k.list {
		if key.Name() == name {
			texts = append(texts, key.text)
		}
	}
	return texts
}

func keyID(name string, hash uint32) string { return fmt.Sprintf("%s+%08x", Printable(name), hash) }
