package cmd

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// A signing key that is given where something else belongs is shown nowhere: neither whole nor its last
// part, which is the secret.
func TestSigningKeysGivenByMistakeAreNotShown(t *testing.T) {
	trusted, err := filepath.Abs(vectors + "keys.txt")
	require.NoError(t, err)
	t.Chdir(t.TempDir())
	status, full, stderr := invoke(t, "keys", "generate", "--ledger.origin", "shop") // no slash: it could be a file's name
	require.Equal(t, statusDone, status, stderr)
	_, rest, found := strings.Cut(full, "\nPRIVATE+KEY+")
	require.True(t, found)
	key := "PRIVATE+KEY+" + strings.SplitN(rest, "\n", 2)[0]
	secret := key[len(key)-20:]
	const file = "evidence.json" // the key is looked at first
	for name, args := range map[string][]string{
		"verify --key":                       {"verify", file, "--key", key},
		"verify --key, all that was printed": {"verify", file, "--key", full},
		"verify --key, a space before":       {"verify", file, "--key", " " + key},
		"verify --key, the first word cut":   {"verify", file, "--key", strings.TrimPrefix(key, "PRIVATE+")},
		"verify --key, a letter cut":         {"verify", file, "--key", key[1:]},
		"verify --key, its last part":        {"verify", file, "--key", key[len(key)-44:]},
		"verify --key, in lines":             {"verify", file, "--key", strings.Join(strings.Split(key, "+"), "+\n")},
		"verify":                             {"verify", key, "--key", trusted},
		"verify, in lines":                   {"verify", full, "--key", trusted, "--output", "json"},
		"verify --output":                    {"verify", file, "--key", trusted, "--output", key},
		"verify --checkpoint":                {"verify", "--database", "--key", trusted, "--checkpoint", key},
		"keys":                               {"keys", key},
		"keys public":                        {"keys", "public", key},
		"keys public --output":               {"keys", "public", "--output", key},
		"keys public --config":               {"keys", "public", "--config", key},
		"keys public --ledger.origin":        {"keys", "public", "--ledger.origin", key},
		"keys generate --out":                {"keys", "generate", "--ledger.origin", testOrigin, "--out", key},
		"keys generate --ledger.origin":      {"keys", "generate", "--ledger.origin", key},
		"a command":                          {key},
		"a flag":                             {"serve", "--" + key},
		"a duration":                         {"config", "print", "--shutdown.grace", key},
	} {
		t.Run(name, func(t *testing.T) {
			status, stdout, stderr := invoke(t, args...)
			require.Equal(t, statusUsage, status, "the key is wrong there")
			require.NotContains(t, stdout+stderr, secret)
		})
	}
	left, err := os.ReadDir(".")
	require.NoError(t, err)
	require.Empty(t, left, "no file is named so")
}

// What a file's name holds does not reach the terminal.
func TestErrorsShowNamesSafely(t *testing.T) {
	dir := t.TempDir()
	hostile := filepath.Join(dir, "a\x1b[2J\u202eb", "\u009b")
	for name, args := range map[string][]string{
		"verify --key":        {"verify", "x.json", "--key", hostile},
		"keys generate --out": {"keys", "generate", "--ledger.origin", testOrigin, "--out", hostile},
		"publish":             {"publish", hostile, "--topic", "t", "--kafka.brokers", "127.0.0.1:1"},
		"--config":            {"config", "print", "--config", hostile},
	} {
		t.Run(name, func(t *testing.T) {
			status, stdout, stderr := invoke(t, args...)
			require.NotEqual(t, statusDone, status)
			require.Contains(t, stderr, `a\x1b[2J\u202eb/\u009b`)
			requireHarmless(t, stdout+stderr)
		})
	}
	require.Equal(t, "two\n  lines, a b", printableError(errors.New("two\nlines, a\tb")))
}

// A name that does not look like a key is shown, so that its mistake can be seen.
func TestAFileOfKeysThatIsMissingIsNamed(t *testing.T) {
	status, _, stderr := invoke(t, "verify", "x.json", "--key", "no/such+file.txt")
	require.Equal(t, statusUsage, status)
	require.Contains(t, stderr, "no/such+file.txt")
}
