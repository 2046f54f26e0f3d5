package cache_test

import (
	"crypto/x509"
	"encoding/pem"
	"net/http/httptest"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/require"

	"audittrail/platform/cache"
	"audittrail/platform/cache/cachetest"
)

// login is the arguments that make the login which OPERATIONS names the only one of a Redis.
func login() []string {
	return []string{
		"--user", "audittrail", "on", ">secret", "~audittrail:*", "+@connection", "+@read", "+@write", "+@transaction", "+@scripting", "+time", "-@dangerous",
		"--user", "default", "off",
	}
}

// certificate writes a certificate for 127.0.0.1, which is its own authority, and its key into files.
func certificate(t *testing.T) (cert, key string) {
	t.Helper()
	server := httptest.NewTLSServer(nil)
	defer server.Close()
	private, err := x509.MarshalPKCS8PrivateKey(server.TLS.Certificates[0].PrivateKey)
	require.NoError(t, err)
	dir := t.TempDir()
	cert, key = filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	require.NoError(t, os.WriteFile(cert, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw}), 0o600))
	require.NoError(t, os.WriteFile(key, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private}), 0o600))
	return cert, key
}

// Redis speaks TLS alone, with a certificate of an authority that no system knows, and takes one login.
func TestRedisByTLS(t *testing.T) {
	cert, key := certificate(t)
	s := cachetest.StartTLS(t, cert, key, login()...)
	c, limit := connectBy(t, cache.RedisOptions{URL: "rediss://audittrail:secret@127.0.0.1:" + s.Port, CA: cert}, prometheus.NewRegistry())
	keeps(t, c, "audittrail:x", "1")
	require.Eventually(t, func() bool {
		_, ok, err := limit.Take(t.Context(), "alice", 1, 4)
		return err == nil && ok
	}, time.Minute, 20*time.Millisecond)

	for name, refused := range map[string]cache.RedisOptions{
		"an authority that is not known": {URL: "rediss://audittrail:secret@127.0.0.1:" + s.Port},
		"the certificate of another":     {URL: "rediss://audittrail:secret@localhost:" + s.Port, CA: cert},
		"plain text":                     {URL: "redis://audittrail:secret@127.0.0.1:" + s.Port},
		"a wrong password":               {URL: "rediss://audittrail:guess@127.0.0.1:" + s.Port, CA: cert},
		"no login":                       {URL: "rediss://127.0.0.1:" + s.Port, CA: cert},
	} {
		t.Run(name, func(t *testing.T) {
			metrics := prometheus.NewRegistry()
			c, _ := connectBy(t, refused, metrics)
			require.Eventually(t, func() bool {
				families, err := metrics.Gather()
				require.NoError(t, err)
				return families[0].GetName() == "audittrail_redis_away" && families[0].GetMetric()[0].GetGauge().GetValue() == 1
			}, time.Minute, 20*time.Millisecond)
			require.Empty(t, c.Get(t.Context(), "tests", []string{"audittrail:x"}))
		})
	}
}

func TestAuthoritiesThatCanNotBeUsed(t *testing.T) {
	empty := filepath.Join(t.TempDir(), "ca.pem")
	require.NoError(t, os.WriteFile(empty, nil, 0o600))
	for _, file := range []string{empty, empty + "-none"} {
		_, err := cache.NewRedis(cache.RedisOptions{URL: "rediss://h", CA: file}, nil, nil)
		require.ErrorContains(t, err, "redis.ca")
	}
}
