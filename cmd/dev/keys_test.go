package dev

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"audittrail/cmd/app"
	"audittrail/platform/config"
	"audittrail/platform/kek"
)

// A second call keeps the keys, since a ledger signed by one key can't go on with another.
func TestMakeKeysKeepsWhatIsThere(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "data")
	var before, kekBefore []byte
	for range 2 {
		cfg, err := app.Load(config.Sources{})
		require.NoError(t, err)
		require.NoError(t, MakeKeys(Options{Config: cfg, Dir: dir}))
		key, err := os.ReadFile(filepath.Join(dir, partSigningKey))
		require.NoError(t, err)
		if before != nil {
			require.Equal(t, before, key)
		}
		before = key
		text, err := os.ReadFile(filepath.Join(dir, partKEK))
		require.NoError(t, err)
		_, err = kek.Open(t.Context(), strings.TrimSpace(string(text)))
		require.NoError(t, err)
		if kekBefore != nil {
			require.Equal(t, kekBefore, text)
		}
		kekBefore = text
	}
	for _, name := range []string{partToken, partVerifierKeys, filepath.Join(partKeys, "jwks.json")} {
		require.FileExists(t, filepath.Join(dir, name))
	}
}
