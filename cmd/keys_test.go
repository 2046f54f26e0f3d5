package cmd

import (
	"crypto/rand"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"audittrail/modules/ledger"
)

const testOrigin = "audit.example.com/shop"

// TestKeysGenerateAndRotate goes the way that `keys rotate --help` tells, by files.
func TestKeysGenerateAndRotate(t *testing.T) {
	dir := t.TempDir()
	file := func(name string) string { return filepath.Join(dir, name) }
	keys := func(args ...string) string {
		t.Helper()
		status, stdout, stderr := invoke(t, append([]string{"keys"}, args...)...)
		require.Equal(t, statusDone, status, stderr)
		require.NotContains(t, stdout, "PRIVATE")
		require.Empty(t, stderr)
		return stdout
	}
	origin := "--ledger.origin=" + testOrigin
	public := keys("generate", origin, "--out", file("old"))
	requireVerifiers(t, public, 1)
	info, err := os.Stat(file("old"))
	require.NoError(t, err)
	require.Equal(t, os.FileMode(0o600), info.Mode().Perm())
	status, _, stderr := invoke(t, "keys", "generate", origin, "--out", file("old"))
	require.Equal(t, statusFailed, status)
	require.Contains(t, stderr, "never overwritten")

	t.Setenv("AUDITTRAIL_LEDGER_SIGNING_KEY_FILE", file("old"))
	require.Equal(t, public, keys("public"))
	status, _, stderr = invoke(t, "keys", "rotate", "--ledger", "--end")
	require.Equal(t, statusUsage, status)
	require.Contains(t, stderr, "no overlap")

	both := keys("rotate", "--ledger", origin, "--out", file("both"))
	requireVerifiers(t, both, 2)
	require.Contains(t, both, strings.SplitN(public, "\n", 2)[1], "the old keys are still among them")
	t.Setenv("AUDITTRAIL_LEDGER_SIGNING_KEY_FILE", file("both"))
	require.Equal(t, both, keys("public"))

	after := keys("rotate", "--ledger", "--end", "--out", file("new"))
	requireVerifiers(t, after, 1)
	require.True(t, strings.HasPrefix(both, strings.TrimSpace(after)))
	require.NotContains(t, both[len(after):], after)
	old, err := os.ReadFile(file("old"))
	require.NoError(t, err)
	list, err := os.ReadFile(file("both"))
	require.NoError(t, err)
	fresh, err := os.ReadFile(file("new"))
	require.NoError(t, err)
	require.Equal(t, strings.TrimSpace(string(fresh))+","+string(old), string(list))
}

func requireVerifiers(t *testing.T, text string, signers int) {
	t.Helper()
	keys, err := ledger.ParseKeys(text)
	require.NoError(t, err)
	require.Len(t, keys.IDs(), 2*signers)
}

func TestKeysGeneratePrints(t *testing.T) {
	status, stdout, stderr := invoke(t, "keys", "generate", "--ledger.origin", testOrigin, "--output", "json")
	require.Equal(t, statusDone, status, stderr)
	var p struct {
		Origin, SigningKey string
		VerifierKeys       []struct {
			Log, Key string
			Current  bool
		}
	}
	require.NoError(t, json.Unmarshal([]byte(stdout), &p))
	require.Equal(t, testOrigin, p.Origin)
	signing, err := ledger.ParseSigningKeys(p.SigningKey, testOrigin)
	require.NoError(t, err)
	require.Len(t, p.VerifierKeys, 2)
	require.Equal(t, signing[0].VerifierKey(ledger.Access), p.VerifierKeys[1].Key)
	require.Equal(t, "access", p.VerifierKeys[1].Log)
	require.True(t, p.VerifierKeys[1].Current)

	status, stdout, _ = invoke(t, "keys", "generate", "--ledger.origin", testOrigin)
	require.Equal(t, statusDone, status)
	require.Contains(t, stdout, "\nPRIVATE+KEY+"+testOrigin+"+")
}

// Keys of two ledgers are not listed under the name of one.
func TestKeysPublicOfTwoLedgers(t *testing.T) {
	var keys []string
	for _, origin := range []string{testOrigin, "audit.example.com/other"} {
		k, err := ledger.GenerateKey(origin, rand.Reader)
		require.NoError(t, err)
		keys = append(keys, k.Secret())
	}
	t.Setenv("AUDITTRAIL_LEDGER_SIGNING_KEY", strings.Join(keys, ","))
	status, stdout, stderr := invoke(t, "keys", "public")
	require.Equal(t, statusUsage, status)
	require.Contains(t, stderr, `key 2 is named "audit.example.com/other", but key 1 is named "`+testOrigin+`"`)
	require.Empty(t, stdout)
}

// What the help says of output that is kept: with --out it is a file for --key, without it is none.
func TestKeysOutputForVerifying(t *testing.T) {
	dir := t.TempDir()
	_, stdout, _ := invoke(t, "keys", "generate", "--ledger.origin", testOrigin, "--out", filepath.Join(dir, "signing.key"))
	kept := writeFile(t, "keys.txt", stdout)
	_, stderr, status := call(t, "verify", vectors+"events.json", "--key", kept)
	require.Equal(t, statusTampering, status, "the keys are read, and are others: %s", stderr)
	_, stdout, _ = invoke(t, "keys", "generate", "--ledger.origin", testOrigin)
	_, stderr, status = call(t, "verify", vectors+"events.json", "--key", writeFile(t, "all.txt", stdout))
	require.Equal(t, statusUsage, status)
	require.Contains(t, stderr, "private signing key")
}

func TestKeysWrongUsage(t *testing.T) {
	for want, args := range map[string][]string{
		"ledger.origin must be given":      {"generate"},
		"ledger.origin must be a name":     {"generate", "--ledger.origin=a b"},
		"ledger.signing_key must be given": {"public"},
		"say what is to be rotated":        {"rotate"},
		"name a new file; without":         {"generate", "--ledger.origin", testOrigin, "--out", ""},
		`argument "" for "--out"`:          {"rotate", "--ledger", "--end", "--ledger.origin", testOrigin, "--out="},
		"no # in front":                    {"generate", "--ledger.origin=#x"},
		"letters, digits and punctuation":  {"generate", "--ledger.origin=a\u202eb"},
	} {
		status, stdout, stderr := invoke(t, append([]string{"keys"}, args...)...)
		require.Equal(t, statusUsage, status, want)
		require.Contains(t, stderr, want)
		require.Empty(t, stdout)
	}
}
