package app

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"io"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"audittrail/modules/migrate/migratetest"
)

// authority signs certificates, in files of one folder.
type authority struct {
	t      *testing.T
	folder string
	cert   *x509.Certificate
	key    *ecdsa.PrivateKey
}

func newAuthority(t *testing.T) *authority {
	t.Helper()
	a := &authority{t: t, folder: t.TempDir()}
	a.cert = &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "authority"}, IsCA: true, BasicConstraintsValid: true,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), KeyUsage: x509.KeyUsageCertSign}
	var err error
	a.key, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	a.write("ca", a.cert, a.key)
	return a
}

// ca is the file with the authority's own certificate.
func (a *authority) ca() string { return filepath.Join(a.folder, "ca.pem") }

// roots are the authority's certificate alone.
func (a *authority) roots() *x509.CertPool {
	pool := x509.NewCertPool()
	text, err := os.ReadFile(a.ca())
	require.NoError(a.t, err)
	require.True(a.t, pool.AppendCertsFromPEM(text))
	return pool
}

// issue signs a certificate for 127.0.0.1, for servers and clients alike.
func (a *authority) issue(name string) (cert, key string) {
	a.t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(a.t, err)
	return a.write(name, &x509.Certificate{SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: name, Organization: []string{"Example"}},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), KeyUsage: x509.KeyUsageDigitalSignature,
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth}}, private)
}

func (a *authority) write(name string, template *x509.Certificate, private *ecdsa.PrivateKey) (cert, key string) {
	a.t.Helper()
	der, err := x509.CreateCertificate(rand.Reader, template, a.cert, private.Public(), a.key)
	require.NoError(a.t, err)
	secret, err := x509.MarshalPKCS8PrivateKey(private)
	require.NoError(a.t, err)
	cert, key = filepath.Join(a.folder, name+".pem"), filepath.Join(a.folder, name+".key")
	require.NoError(a.t, os.WriteFile(cert, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o600))
	require.NoError(a.t, os.WriteFile(key, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: secret}), 0o600))
	return cert, key
}

// me asks /v1/me over TLS, with a certificate and a token where they are given.
func (p *program) me(a *authority, certificate, token string) (int, map[string]any) {
	p.t.Helper()
	config := &tls.Config{RootCAs: a.roots()}
	if certificate != "" {
		cert, key := a.issue(certificate)
		pair, err := tls.LoadX509KeyPair(cert, key)
		require.NoError(p.t, err)
		config.Certificates = []tls.Certificate{pair}
	}
	req, err := http.NewRequestWithContext(p.t.Context(), http.MethodGet, "https://"+p.addrs["api"]+"/v1/me", nil)
	require.NoError(p.t, err)
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	res, err := (&http.Transport{TLSClientConfig: config, DisableKeepAlives: true}).RoundTrip(req)
	require.NoError(p.t, err)
	defer func() { _ = res.Body.Close() }()
	body, err := io.ReadAll(res.Body)
	require.NoError(p.t, err)
	var members map[string]any
	require.NoError(p.t, json.Unmarshal(body, &members), string(body))
	return res.StatusCode, members
}

func TestAClientCertificateIsAPrincipal(t *testing.T) {
	t.Parallel()
	a := newAuthority(t)
	cert, key := a.issue("server")
	p := start(t, "--roles=api", "--postgres.url="+migratetest.Database(t), "--http.tls.cert="+cert, "--http.tls.key="+key,
		"--http.tls.client_ca="+a.ca(), "--http.tls.client_required=false",
		`--http.tls.client_principals=[{"subject":"CN=billing,O=Example","principal":"billing-service","roles":["viewer"]}]`)
	p.until("admin", "/readyz", http.StatusOK, "")

	status, me := p.me(a, "billing", "")
	require.Equal(t, http.StatusOK, status, me)
	require.Equal(t, "billing-service", me["principal"])
	require.Equal(t, []any{"viewer"}, me["roles"])
	require.Equal(t, []any{"events:read", "proofs:read"}, me["permissions"])

	status, me = p.me(a, "billing", p.token)
	require.Equal(t, http.StatusOK, status, me)
	require.NotEqual(t, "billing-service", me["principal"], "the token decides alone")
	for name, c := range map[string][2]string{
		"a bad token decides, too": {"billing", "none"},
		"no mapping":               {"stranger", ""},
		"nothing":                  {"", ""},
	} {
		status, me = p.me(a, c[0], c[1])
		require.Equal(t, http.StatusUnauthorized, status, name)
		require.NotEmpty(t, me["code"])
	}
	status, _ = p.me(a, "stranger", p.token)
	require.Equal(t, http.StatusOK, status)
	require.NoError(t, p.stop())
}

func TestTheAPILimitsItsCallers(t *testing.T) {
	t.Parallel()
	p := start(t, "--roles=api", "--postgres.url="+migratetest.Database(t), "--http.rate_limit=0.001", "--http.rate_limit_address=0.001")
	p.until("admin", "/readyz", http.StatusOK, "")
	for _, want := range []int{http.StatusOK, http.StatusTooManyRequests} {
		status, body := p.get("api", "/v1/me")
		require.Equal(t, want, status, body)
	}
	p.token = ""
	for _, want := range []int{http.StatusUnauthorized, http.StatusTooManyRequests} {
		status, body := p.get("api", "/v1/events")
		require.Equal(t, want, status, body)
	}
	require.NoError(t, p.stop())
}
