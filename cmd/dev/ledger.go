package dev

import (
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"

	"audittrail/modules/ledger"
	"audittrail/platform/files"
)

// origin names dev's ledger, where the configuration does not.
const origin = "audittrail-dev"

// openLedger gives the notary a signing key of this data folder, made once, and keeps its memory there,
// as far as the configuration names no others; and it writes the verifier keys to a file.
func (s *stack) openLedger() error {
	if !s.Config.IsSet("notary.state_file") {
		s.Config.Notary.StateFile = s.folder.Path(partNotary)
	}
	if s.Config.Ledger.Origin == "" {
		s.Config.Ledger.Origin = origin
	}
	if s.Config.Ledger.SigningKey == "" {
		var err error
		if s.Config.Ledger.SigningKey, err = s.signingKey(); err != nil {
			return fmt.Errorf("the ledger's signing key: %w", err)
		}
	}
	keys, err := s.Config.Ledger.Keys()
	if err != nil {
		return fmt.Errorf("ledger.signing_key: %w; --fresh makes a new key, and a new history", err)
	}
	return writeVerifierKeys(s.folder.Path(partVerifierKeys), keys)
}

// writeVerifierKeys puts the verifier keys before those that the file has already: what was signed before a
// rotation keeps its key.
func writeVerifierKeys(path string, keys []ledger.SigningKey) error {
	var lines []string
	for _, key := range keys {
		for _, log := range ledger.Logs() {
			lines = append(lines, key.VerifierKey(log))
		}
	}
	before, err := os.ReadFile(path)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	for line := range strings.Lines(string(before)) {
		if line = strings.TrimSpace(line); line != "" && !slices.Contains(lines, line) {
			lines = append(lines, line)
		}
	}
	return files.Write(path, []byte(strings.Join(lines, "\n")+"\n"), 0o644)
}

// signingKey reads the folder's signing key, or makes it where there is none.
func (s *stack) signingKey() (string, error) {
	path := s.folder.Path(partSigningKey)
	text, err := os.ReadFile(path)
	if err == nil || !errors.Is(err, os.ErrNotExist) {
		return strings.TrimSpace(string(text)), err
	}
	key, err := ledger.GenerateKey(s.Config.Ledger.Origin, rand.Reader)
	if err != nil {
		return "", err
	}
	return key.Secret(), files.Write(path, []byte(key.Secret()+"\n"), 0o600)
}
