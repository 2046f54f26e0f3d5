package dev

import (
	"crypto/rand"
	"encoding/base64"
	"errors"
	"os"

	"audittrail/platform/files"
)

// makeKEK writes the URL of a new key-encryption key for local work to a file, unless the file is there: what is sealed
// under one key opens by no other.
func makeKEK(path string) error {
	if _, err := os.Stat(path); !errors.Is(err, os.ErrNotExist) {
		return err
	}
	key := make([]byte, 32)
	_, _ = rand.Read(key) // never fails (crypto/rand)
	return files.Write(path, []byte("base64key://"+base64.URLEncoding.EncodeToString(key)+"\n"), 0o600)
}
