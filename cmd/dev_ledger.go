package cmd

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

// devOrigin names dev's ledger, where the configuration does not.
const devOrigin = "audittrail-dev"

// openLedger gives the notary a signing key of this data folder, made once, and keeps its memory there,
// as far as the configuration names no others; and it writes the verifier keys to a file.
func (d *dev) openLedger() error {
	if !d.cfg.IsSet("notary.state_file") {
		d.cfg.Notary.StateFile = d.folder.Path(partNotary)
	}
	if d.cfg.Ledger.Origin == "" {
		d.cfg.Ledger.Origin = devOrigin
	}
	if d.cfg.Ledger.SigningKey == "" {
		var err error
		if d.cfg.Ledger.SigningKey, err = d.signingKey(); err != nil {
			return fmt.Errorf("the ledger's signing key: %w", err)
		}
	}
	keys, err := d.cfg.Ledger.Keys()
	if err != nil {
		return fmt.Errorf("ledger.signing_key: %w; --fresh makes a new key, and a new history", err)
	}
	return writeVerifierKeys(d.folder.Path(partVerifierKeys), keys)
}

// writeVerifierKeys puts the verifier keys before those that the file has already: what was signed before a
// rotation keeps its key.
func writeVerifierKeys(path string, keys []ledger.SigningKey) error {
	var lines []string
	for _, v := range (keyList{keys: keys}).printed().VerifierKeys {
		lines = append(lines, v.Key)
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
func (d *dev) signingKey() (string, error) {
	path := d.folder.Path(partSigningKey)
	text, err := os.ReadFile(path)
	if err == nil || !errors.Is(err, os.ErrNotExist) {
		return strings.TrimSpace(string(text)), err
	}
	key, err := ledger.GenerateKey(d.cfg.Ledger.Origin, rand.Reader)
	if err != nil {
		return "", err
	}
	return key.Secret(), files.Write(path, []byte(key.Secret()+"\n"), 0o600)
}
