package app

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"log/slog"
	"math/big"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"audittrail/platform/config"
)

// complete are the flags of a configuration that every role can start with.
func complete(t *testing.T, more ...string) Config {
	t.Helper()
	c, err := load(t, append([]string{"--postgres.url=postgres://h/d", "--kafka.topics=orders", "--auth.issuer=i", "--auth.audience=a",
		"--auth.jwks_file=f", "--http.tls_terminated", "--ledger.origin=" + origin, "--ledger.signing_key=" + signingKey(t, 1).Secret()}, more...)...)
	require.NoError(t, err)
	return c
}

// TestCheckRefusesWhatServeWould names every problem at once, and where the value came from.
func TestCheckRefusesWhatServeWould(t *testing.T) {
	require.NoError(t, Check(complete(t)))
	none := filepath.Join(t.TempDir(), "none.pem")
	for name, c := range map[string]struct {
		args  []string
		wants []string
	}{
		"topics": {[]string{"--kafka.topics=orders,orders.dlq,__consumer_offsets"}, []string{
			`kafka.topics must not name "orders.dlq": it is a dead-letter topic (ingest.dlq_suffix) (from flag --kafka.topics)`,
			`kafka.topics must not name "__consumer_offsets": it is an internal topic (from flag --kafka.topics)`}},
		"another suffix":   {[]string{"--kafka.topics=orders-failed", "--ingest.dlq_suffix=-failed"}, []string{`kafka.topics must not name "orders-failed"`}},
		"one address":      {[]string{"--http.addr=127.0.0.1:9090"}, []string{"admin.addr must not be the address of http.addr, 127.0.0.1:9090"}},
		"http.tls":         {[]string{"--http.tls.cert=" + none, "--http.tls.key=" + none, "--http.tls.client_ca=" + none}, []string{"http.tls.cert must be a file that can be read: open " + none, "http.tls.key must", "http.tls.client_ca must"}},
		"admin.tls":        {[]string{"--admin.tls.cert=" + none, "--admin.tls.key=" + none}, []string{"admin.tls.cert must be a file", "admin.tls.key must be a file", "(from flag --admin.tls.key)"}},
		"kafka.tls":        {[]string{"--kafka.tls.enabled", "--kafka.tls.ca=" + none, "--kafka.tls.cert=" + none, "--kafka.tls.key=" + none}, []string{"kafka.tls.ca must be a file", "kafka.tls.cert must", "kafka.tls.key must"}},
		"redis":            {[]string{"--redis.url=rediss://cache", "--redis.ca=" + none}, []string{"redis.ca must be a file that can be read", "(from flag --redis.ca)"}},
		"a plain listener": {[]string{"--http.tls_terminated=false"}, []string{"http.addr must be a loopback address such as 127.0.0.1:8080 while the API speaks plain HTTP, not :8080: give http.tls.cert and http.tls.key, or set http.tls_terminated: true"}},
		"plain hops": {[]string{"--security.require_tls", "--kafka.brokers=127.0.0.1:9092,kafka:9092"}, []string{
			"postgres.url lets bytes go to PostgreSQL in plain text: give it sslmode=verify-full",
			"kafka.tls.enabled is false, so bytes go to the broker kafka:9092 in plain text: set it to true", "(security.require_tls is true)"}},
		"all that's wrong": {[]string{"--kafka.topics=__x", "--admin.addr=:8080", "--postgres.url="}, []string{"postgres.url must be given", "kafka.topics must not", "admin.addr must not"}},
	} {
		t.Run(name, func(t *testing.T) {
			err := Check(complete(t, c.args...))
			var invalid *config.Error
			require.ErrorAs(t, err, &invalid)
			for _, want := range c.wants {
				require.ErrorContains(t, err, want)
			}
		})
	}
}

// What a role needs that is not chosen is nobody's concern.
func TestCheckLooksOnlyAtWhatTheChosenRolesNeed(t *testing.T) {
	require.NoError(t, Check(complete(t, "--roles=api", "--kafka.topics=orders.dlq")))
	require.NoError(t, Check(complete(t, "--roles=ingest", "--http.addr=:9090", "--http.tls.cert=none", "--http.tls.key=none")))
}

func TestCheckTakesSecureWays(t *testing.T) {
	for name, args := range map[string][]string{
		"a listener on loopback":   {"--http.tls_terminated=false", "--http.addr=127.0.0.1:8080"},
		"a listener on localhost":  {"--http.tls_terminated=false", "--http.addr=localhost:8080"},
		"a listener on IPv6":       {"--http.tls_terminated=false", "--http.addr=[::1]:8080"},
		"TLS wherever bytes leave": {"--security.require_tls", "--postgres.url=postgres://h/d?sslmode=verify-full", "--kafka.brokers=kafka:9093", "--kafka.tls.enabled"},
		"all on this machine":      {"--security.require_tls", "--postgres.url=postgres://127.0.0.1/d", "--kafka.brokers=localhost:9092,[::1]:9092"},
		"Kafka is not used":        {"--security.require_tls", "--roles=api", "--postgres.url=postgres://localhost/d", "--kafka.brokers=kafka:9092"},
	} {
		t.Run(name, func(t *testing.T) { require.NoError(t, Check(complete(t, args...))) })
	}
}

func TestPlainHopsAreNamed(t *testing.T) {
	var log bytes.Buffer
	warnHops(t.Context(), complete(t, "--kafka.brokers=kafka:9092"), slog.New(slog.NewJSONHandler(&log, nil)))
	require.Equal(t, 2, strings.Count(log.String(), "\n"), log.String())
	require.Contains(t, log.String(), `"key":"postgres.url"`)
	require.Contains(t, log.String(), `"key":"kafka.tls.enabled"`)
	log.Reset()
	warnHops(t.Context(), complete(t, "--postgres.url=postgres://h/d?sslmode=require", "--roles=api"), slog.New(slog.NewJSONHandler(&log, nil)))
	require.Contains(t, log.String(), "without checking who the server is")
}

func TestCheckReadsTLSFiles(t *testing.T) {
	folder := t.TempDir()
	cert, key := writePair(t, folder, "one")
	_, other := writePair(t, folder, "other")
	require.NoError(t, Check(complete(t, "--http.tls.cert="+cert, "--http.tls.key="+key, "--http.tls.client_ca="+cert)))
	err := Check(complete(t, "--http.tls.cert="+cert, "--http.tls.key="+other))
	require.ErrorContains(t, err, "http.tls.cert must be a PEM certificate, and key its private key")
	err = Check(complete(t, "--http.tls.cert="+cert, "--http.tls.key="+key, "--http.tls.client_ca="+key))
	require.ErrorContains(t, err, "http.tls.client_ca must be a file with PEM certificates")
}

func TestSameListener(t *testing.T) {
	for _, c := range []struct {
		a, b string
		want bool
	}{
		{":8080", ":8080", true},
		{":8080", "127.0.0.1:8080", true},
		{"0.0.0.0:8080", "[::1]:8080", true},
		{"localhost:8080", "127.0.0.1:08080", true},
		{"127.0.0.1:8080", "10.0.0.1:8080", false},
		{":8080", ":9090", false},
		{":0", ":0", false},
		{"127.0.0.1:0", "127.0.0.1:0", false},
	} {
		require.Equal(t, c.want, sameListener(c.a, c.b), "%s and %s", c.a, c.b)
		require.Equal(t, c.want, sameListener(c.b, c.a), "%s and %s", c.b, c.a)
	}
}

// writePair writes a certificate of its own and its key.
func writePair(t *testing.T, folder, name string) (cert, key string) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	template := &x509.Certificate{SerialNumber: big.NewInt(1)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &private.PublicKey, private)
	require.NoError(t, err)
	secret, err := x509.MarshalPKCS8PrivateKey(private)
	require.NoError(t, err)
	cert, key = filepath.Join(folder, name+".pem"), filepath.Join(folder, name+".key")
	require.NoError(t, os.WriteFile(cert, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o600))
	require.NoError(t, os.WriteFile(key, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: secret}), 0o600))
	return cert, key
}
