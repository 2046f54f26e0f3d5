package systemtest

import (
	"bufio"
	"encoding/pem"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// TestExampleEnvironment proves that what .env.example sets is accepted, by itself and together with the
// lines that are commented out there.
func TestExampleEnvironment(t *testing.T) {
	f, err := os.Open("../../.env.example")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	secret := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(secret, []byte("s3cret\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	// The command that the file names makes the key.
	authority := certificate(t)
	const signingKey = "AUDITTRAIL_LEDGER_SIGNING_KEY_FILE="
	key := filepath.Join(t.TempDir(), "signing.key")
	generate := command(t.Context(), "keys", "generate", "--ledger.origin", "localhost/audittrail", "--out", key)
	if out, err := generate.CombinedOutput(); err != nil {
		t.Fatalf("keys generate: %v\n%s", err, out)
	}
	var set, commented []string
	for lines := bufio.NewScanner(f); lines.Scan(); {
		line, off := strings.CutPrefix(lines.Text(), "#AUDITTRAIL_")
		switch {
		case off:
			name, _, _ := strings.Cut(line, "=")
			switch {
			case strings.HasSuffix(name, "_FILE"):
				line = name + "=" + secret
			case strings.HasSuffix(name, "_TLS_CA"):
				line = name + "=" + authority
			}
			commented = append(commented, "AUDITTRAIL_"+line)
		case strings.HasPrefix(line, signingKey):
			set = append(set, signingKey+key)
		case strings.HasPrefix(line, "AUDITTRAIL_"):
			set = append(set, line)
		}
	}
	if len(set) < 10 || len(commented) < 5 {
		t.Fatalf("%d lines are set and %d commented out: the file is not read right", len(set), len(commented))
	}
	check := func(environment ...string) {
		t.Helper()
		c := command(t.Context(), "config", "check")
		c.Env = append(c.Env, environment...)
		if out, err := c.CombinedOutput(); err != nil {
			t.Errorf("config check with %d variables: %v\n%s", len(environment), err, out)
		}
	}
	check(set...)
	all := append(commented, set...)
	check(slices.DeleteFunc(all, func(line string) bool { // the other way to give what the URL gives
		return strings.HasPrefix(line, "AUDITTRAIL_AUTH_JWKS_FILE=")
	})...)
}

// certificate writes a certificate authority's file: the check looks into it.
func certificate(t *testing.T) string {
	t.Helper()
	server := httptest.NewTLSServer(nil)
	defer server.Close()
	path := filepath.Join(t.TempDir(), "ca.pem")
	text := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw})
	if err := os.WriteFile(path, text, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}
