package cmd

import (
	"encoding/json"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"audittrail/platform/auth"
	"audittrail/platform/devstack"
)

// localKeys makes a folder such as dev's, with keys in it.
func localKeys(t *testing.T) (dir string, keys *devstack.Keys) {
	t.Helper()
	dir = t.TempDir()
	keys, err := devstack.OpenKeys(filepath.Join(dir, "keys"))
	require.NoError(t, err)
	return dir, keys
}

func TestTokensAreAcceptedByAnAPIWithTheFoldersKeys(t *testing.T) {
	dir, keys := localKeys(t)
	for name, c := range map[string]struct {
		args       []string
		claim      string
		subject    string
		roles      []string
		validFor   time.Duration
		otherNames bool
	}{
		"as it comes":    {nil, "roles", "dev", []string{"viewer"}, 24 * time.Hour, false},
		"all flags":      {[]string{"--role=auditor", "--role=operator", "--subject=alice", "--expires=1h"}, "roles", "alice", []string{"auditor", "operator"}, time.Hour, false},
		"a nested claim": {[]string{"--auth.roles_claim=realm_access.roles"}, "realm_access.roles", "dev", []string{"viewer"}, 24 * time.Hour, false},
		"other names":    {[]string{"--auth.issuer=here", "--auth.audience=me", "--auth.jwks_file=" + keys.JWKSFile()}, "roles", "dev", []string{"viewer"}, 24 * time.Hour, true},
	} {
		t.Run(name, func(t *testing.T) {
			status, stdout, stderr := invoke(t, append([]string{"token", "--data", dir}, c.args...)...)
			require.Equal(t, statusDone, status, stderr)
			trust := auth.Options{Issuer: "audittrail-dev", Audience: "audittrail", JWKSFile: keys.JWKSFile(), RolesClaim: c.claim}
			if c.otherNames {
				trust.Issuer, trust.Audience = "here", "me"
			}
			v, err := auth.NewVerifier(trust, slog.New(slog.DiscardHandler))
			require.NoError(t, err)
			p, err := v.Verify(t.Context(), strings.TrimSpace(stdout))
			require.NoError(t, err)
			require.Equal(t, c.subject, p.Subject)
			require.Equal(t, c.roles, p.Roles)
			require.WithinDuration(t, time.Now().Add(c.validFor), p.ExpiresAt, time.Minute)
		})
	}
}

// Whatever goes wrong, the key is not shown.
func TestTokensThatAreNotMinted(t *testing.T) {
	dir, keys := localKeys(t)
	other, _ := localKeys(t)
	text, err := os.ReadFile(filepath.Join(dir, "keys", "signing-key.json"))
	require.NoError(t, err)
	var key struct{ D string }
	require.NoError(t, json.Unmarshal(text, &key))
	require.NotEmpty(t, key.D)
	for says, args := range map[string][]string{
		"auth.issuer is a URL":               {"--auth.issuer=https://login.example.com", "--auth.jwks_file=" + keys.JWKSFile()},
		"so the issuer is not local: ask it": {"--auth.issuer=http://localhost:8180"},
		"auth.jwks_url is given":             {"--auth.issuer=shop", "--auth.jwks_url=https://login.example.com/keys"},
		"auth.issuers is given":              {`--auth.issuers=[{"issuer":"shop","audience":"a","jwks_file":"f"}]`},
		"auth.jwks_file is not ":             {"--auth.jwks_file=" + filepath.Join(other, "keys", "jwks.json")},
		"--role must not be empty":           {"--role="},
		"--subject must not be empty":        {"--subject="},
		"--expires must be more than 0":      {"--expires=0s"},
		"at most 720h":                       {"--expires=721h"},
	} {
		status, stdout, stderr := invoke(t, append([]string{"token", "--data", dir}, args...)...)
		require.Equal(t, statusUsage, status, stderr)
		require.Contains(t, stderr, says)
		require.Empty(t, stdout)
		require.NotContains(t, stderr, key.D)
	}

	nowhere := filepath.Join(t.TempDir(), "none")
	status, _, stderr := invoke(t, "token", "--data", nowhere)
	require.Equal(t, statusFailed, status)
	require.Contains(t, stderr, "start 'audittrail dev' once")
	require.NoDirExists(t, nowhere, "a key is not made by the way")

	broken := strings.TrimSuffix(strings.TrimSpace(string(text)), "}")
	require.NoError(t, os.WriteFile(filepath.Join(dir, "keys", "signing-key.json"), []byte(broken), 0o600))
	status, _, stderr = invoke(t, "token", "--data", dir)
	require.Equal(t, statusFailed, status)
	require.Contains(t, stderr, "holds no key")
	require.NotContains(t, stderr, key.D)
}
