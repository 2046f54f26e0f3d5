package systemtest

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"audittrail/modules/ledger"
	"audittrail/platform/auth/authtest"
)

// TestEvidenceOfRealEvents goes the whole way: real events through Kafka into the store, signed by the
// notary, exported over the API, verified with nothing but the public key; and one changed letter is seen.
func TestEvidenceOfRealEvents(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	dir := t.TempDir()
	key, err := ledger.GenerateKey("audit.test/orders", rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	verifier, accesses := key.VerifierKey(ledger.Events), key.VerifierKey(ledger.Access)
	issuer := authtest.NewIssuer(t)
	jwks := filepath.Join(dir, "jwks.json")
	if err := os.WriteFile(jwks, issuer.JWKS(), 0o600); err != nil {
		t.Fatal(err)
	}
	options, api := issuer.Options(), freeAddress(t)
	do(t, "publish", excerpt, "--topic", s.topic, "--kafka.brokers", s.brokers[0])
	p := start(t, "all", "serve", "--roles=ingest,api,notary", "--postgres.url", s.url, "--kafka.brokers", strings.Join(s.brokers, ","),
		"--kafka.topics", s.topic, "--kafka.group", s.group, "--http.addr", api,
		"--auth.jwks_file", jwks, "--auth.issuer", options.Issuer, "--auth.audience", options.Audience,
		"--ledger.origin", "audit.test/orders", "--ledger.signing_key", key.Secret(), "--notary.state_file", filepath.Join(dir, "notary.json"))
	s.caughtUp(2*time.Minute, p)
	stored := one[int64](s, "SELECT count(*) FROM events")
	eventually(t, time.Minute, "everything is signed", func(context.Context) error {
		if signed := one[int64](s, "SELECT coalesce(max(size), 0) FROM ledger_checkpoints WHERE log = 'events'"); signed != stored {
			return fmt.Errorf("%d of %d", signed, stored)
		}
		return nil
	})

	file := filepath.Join(dir, "orders.json")
	do(t, "export", "--out", file, "--client.url", "http://"+api, "--client.token", issuer.Token(nil))
	report := do(t, "verify", file, "--key", verifier)
	if want := fmt.Sprintf("speaks for its first %s entries", thousands(stored)); !strings.Contains(report, ": proven\n") || !strings.Contains(report, want) {
		t.Errorf("no %q in:\n%s", want, report)
	}

	lines := filepath.Join(dir, "orders.ndjson.gz")
	do(t, "export", "--format", "ndjson", "--out", lines, "--client.url", "http://"+api, "--client.token", issuer.Token(nil))
	report = do(t, "verify", lines, "--key", verifier)
	if want := fmt.Sprintf(": complete\n  %s events are in it", thousands(stored)); !strings.Contains(report, want) {
		t.Errorf("no %q in:\n%s", want, report)
	}

	do(t, "verify", "--database", "--key", verifier, "--key", accesses, "--postgres.url", s.url)
	t.Run("independent verifier", func(t *testing.T) {
		takesEvidence(t, s, "http://"+api, issuer.Token(nil), verifier)
	})

	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	altered := strings.Replace(string(text), `"activity":"`, `"activity":"X`, 1)
	if err := os.WriteFile(file, []byte(altered), 0o600); err != nil {
		t.Fatal(err)
	}
	out, err := command(t.Context(), "verify", file, "--key", verifier).Output()
	var exit *exec.ExitError
	if !errors.As(err, &exit) || exit.ExitCode() != 3 || !strings.Contains(string(out), "NOT PROVEN") {
		t.Errorf("a changed letter: %v\n%s", err, out)
	}
	p.stop()
}

// thousands writes a count below a million as reports do.
func thousands(n int64) string {
	if n < 1000 {
		return fmt.Sprint(n)
	}
	return fmt.Sprintf("%d,%03d", n/1000, n%1000)
}
