package postgres_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net/url"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"audittrail/platform/postgres"
)

// certificate signs itself for the name given. It fits a server of this name, and a client whose user it is.
func certificate(t *testing.T, name string) (cert, key string) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}, DNSNames: []string{name},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &private.PublicKey, private)
	require.NoError(t, err)
	pkcs8, err := x509.MarshalPKCS8PrivateKey(private)
	require.NoError(t, err)
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})),
		string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: pkcs8}))
}

func TestPoolVerifiesTheServer(t *testing.T) {
	s := server(t)
	cert, key := certificate(t, "localhost")
	otherCert, _ := certificate(t, "localhost")
	// The server writes its own files: they have to be its account's.
	execute(t, s.URL("postgres"),
		"COPY (SELECT unnest(string_to_array($$"+cert+"$$, E'\\n'))) TO PROGRAM 'cat > server.crt'",
		"COPY (SELECT unnest(string_to_array($$"+key+"$$, E'\\n'))) TO PROGRAM 'umask 077; cat > server.key'",
		"ALTER SYSTEM SET ssl = on", "SELECT pg_reload_conf()")
	dir := t.TempDir()
	for name, content := range map[string]string{"ca.pem": cert, "other.pem": otherCert} {
		require.NoError(t, os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600))
	}
	pool := func(host, mode, ca string) error {
		u, err := url.Parse(s.URL("postgres"))
		require.NoError(t, err)
		u.Host = host + ":" + u.Port()
		u.RawQuery = url.Values{"sslmode": {mode}, "sslrootcert": {filepath.Join(dir, ca)}}.Encode()
		return open(t, postgres.PoolOptions{URL: u.String(), Name: "tls"}).Ping(t.Context())
	}
	require.Eventually(t, func() bool { return pool("localhost", "verify-full", "ca.pem") == nil }, time.Minute, 20*time.Millisecond)
	require.ErrorContains(t, pool("localhost", "verify-full", "other.pem"), "certificate")
	require.ErrorContains(t, pool("127.0.0.1", "verify-full", "ca.pem"), "certificate")
	require.NoError(t, pool("127.0.0.1", "verify-ca", "ca.pem"))
}

// A login by certificate alone: clientcert=verify-full of pg_hba.conf has it signed by our authority, for the user's name.
func TestPoolShowsItsCertificate(t *testing.T) {
	s := server(t)
	serverCert, serverKey := certificate(t, "localhost")
	userCert, userKey := certificate(t, "app")
	strangerCert, strangerKey := certificate(t, "stranger")
	const hba = "local all all trust\nhost all postgres 127.0.0.1/32 trust\nhostssl all all 127.0.0.1/32 trust clientcert=verify-full\nhostssl all all ::1/128 trust clientcert=verify-full"
	execute(t, s.URL("postgres"),
		write("server.crt", serverCert), write("server.key", serverKey), write("clients.crt", userCert+strangerCert), write("pg_hba.conf", hba),
		"CREATE ROLE app LOGIN", "ALTER SYSTEM SET ssl = on", "ALTER SYSTEM SET ssl_ca_file = 'clients.crt'", "SELECT pg_reload_conf()")
	dir := t.TempDir()
	for name, content := range map[string]string{"ca.pem": serverCert, "app.pem": userCert, "app.key": userKey, "stranger.pem": strangerCert, "stranger.key": strangerKey} {
		require.NoError(t, os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600))
	}
	login := func(certificate string) error {
		u, err := url.Parse(s.URL("postgres"))
		require.NoError(t, err)
		u.User, u.Host = url.User("app"), "localhost:"+u.Port()
		parameters := url.Values{"sslmode": {"verify-full"}, "sslrootcert": {filepath.Join(dir, "ca.pem")}}
		if certificate != "" {
			parameters.Set("sslcert", filepath.Join(dir, certificate+".pem"))
			parameters.Set("sslkey", filepath.Join(dir, certificate+".key"))
		}
		u.RawQuery = parameters.Encode()
		require.Equal(t, postgres.Safe, postgres.Transport(u.String()))
		return open(t, postgres.PoolOptions{URL: u.String(), Name: "certificate"}).Ping(t.Context())
	}
	require.Eventually(t, func() bool { return login("app") == nil }, time.Minute, 20*time.Millisecond)
	require.ErrorContains(t, login("stranger"), "28000", "it is for another user")
	require.ErrorContains(t, login(""), "28000")
}

// write is a statement by which the server writes a file of its own: it has to be its account's.
func write(name, content string) string {
	return "COPY (SELECT unnest(string_to_array($$" + content + "$$, E'\n'))) TO PROGRAM 'umask 077; cat > " + name + "'"
}
