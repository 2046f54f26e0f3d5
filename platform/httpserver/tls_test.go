package httpserver_test

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"io"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"audittrail/platform/httpserver"
)

// pair is a self-signed certificate that is its own authority.
type pair struct {
	cert, key []byte // PEM
	parsed    *x509.Certificate
}

func newPair(t testing.TB, serial int64) pair {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(serial), Subject: pkix.Name{CommonName: "test"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true,
		KeyUsage:    x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	require.NoError(t, err)
	parsed, err := x509.ParseCertificate(der)
	require.NoError(t, err)
	private, err := x509.MarshalPKCS8PrivateKey(key)
	require.NoError(t, err)
	return pair{
		pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}),
		pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private}), parsed,
	}
}

// write puts the pair into files, with a modification time that differs for each serial number.
func (p pair) write(t testing.TB, opts httpserver.TLSOptions) {
	t.Helper()
	at := time.Unix(1_700_000_000+p.parsed.SerialNumber.Int64(), 0)
	for name, content := range map[string][]byte{opts.Cert: p.cert, opts.Key: p.key} {
		require.NoError(t, os.WriteFile(name, content, 0o600))
		require.NoError(t, os.Chtimes(name, at, at))
	}
}

func tlsOptions(t testing.TB) httpserver.TLSOptions {
	t.Helper()
	dir := t.TempDir()
	return httpserver.TLSOptions{Cert: filepath.Join(dir, "cert.pem"), Key: filepath.Join(dir, "key.pem")}
}

// serial asks by a new connection and answers the serial number of the certificate that was shown.
func serial(t testing.TB, address string, trusted pair, shown *pair) (int64, int, error) {
	t.Helper()
	roots := x509.NewCertPool()
	roots.AddCert(trusted.parsed)
	config := &tls.Config{RootCAs: roots}
	if shown != nil {
		mine, err := tls.X509KeyPair(shown.cert, shown.key)
		require.NoError(t, err)
		config.Certificates = []tls.Certificate{mine}
	}
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: config, DisableKeepAlives: true, ForceAttemptHTTP2: true}, Timeout: 5 * time.Second}
	response, err := client.Get("https://" + address + "/x")
	if err != nil {
		return 0, 0, err
	}
	defer func() { _ = response.Body.Close() }()
	return response.TLS.PeerCertificates[0].SerialNumber.Int64(), response.ProtoMajor, nil
}

func TestCertificatesAreReadAgain(t *testing.T) {
	opts := tlsOptions(t)
	first, second := newPair(t, 1), newPair(t, 2)
	first.write(t, opts)
	address, _ := run(t, newServer(t, httpserver.Options{TLS: opts}, io.Discard))
	n, proto, err := serial(t, address, first, nil)
	require.NoError(t, err)
	require.Equal(t, int64(1), n)
	require.Equal(t, 2, proto, "HTTP/2 is offered")

	// Half a replacement: the certificate does not fit the key. The server goes on with the old pair.
	require.NoError(t, os.WriteFile(opts.Cert, second.cert, 0o600))
	require.Never(t, func() bool {
		_, _, err := serial(t, address, first, nil)
		return err != nil
	}, 2500*time.Millisecond, 500*time.Millisecond)

	second.write(t, opts)
	require.Eventually(t, func() bool {
		n, _, err := serial(t, address, second, nil)
		return err == nil && n == 2
	}, 10*time.Second, 100*time.Millisecond)
}

func TestCertificatesOfEqualSizeAndTimeAreReadAgain(t *testing.T) {
	opts := tlsOptions(t)
	first, second := newPair(t, 1), newPair(t, 2)
	at := time.Unix(1_700_000_000, 0)
	write := func(p pair) {
		for name, content := range map[string][]byte{opts.Cert: p.cert, opts.Key: p.key} {
			padded := append(slices.Clone(content), bytes.Repeat([]byte("\n"), 4096-len(content))...)
			require.NoError(t, os.WriteFile(name, padded, 0o600))
			require.NoError(t, os.Chtimes(name, at, at))
		}
	}
	write(first)
	address, _ := run(t, newServer(t, httpserver.Options{TLS: opts}, io.Discard))
	_, _, err := serial(t, address, first, nil)
	require.NoError(t, err)
	write(second)
	require.Eventually(t, func() bool {
		n, _, err := serial(t, address, second, nil)
		return err == nil && n == 2
	}, 10*time.Second, 100*time.Millisecond)
}

func TestClientCertificates(t *testing.T) {
	opts := tlsOptions(t)
	server, client, stranger := newPair(t, 1), newPair(t, 2), newPair(t, 3)
	server.write(t, opts)
	opts.ClientCA = filepath.Join(t.TempDir(), "ca.pem")
	require.NoError(t, os.WriteFile(opts.ClientCA, client.cert, 0o600))
	address, _ := run(t, newServer(t, httpserver.Options{TLS: opts}, io.Discard))
	_, _, err := serial(t, address, server, &client)
	require.NoError(t, err)
	_, _, err = serial(t, address, server, &stranger)
	require.Error(t, err)
	_, _, err = serial(t, address, server, nil)
	require.NoError(t, err, "none is required")

	opts.ClientRequired = true
	address, _ = run(t, newServer(t, httpserver.Options{TLS: opts}, io.Discard))
	_, _, err = serial(t, address, server, &client)
	require.NoError(t, err)
	_, _, err = serial(t, address, server, nil)
	require.Error(t, err)
}

func TestOldTLSIsRefused(t *testing.T) {
	opts := tlsOptions(t)
	newPair(t, 1).write(t, opts)
	address, _ := run(t, newServer(t, httpserver.Options{TLS: opts}, io.Discard))
	dial := func(version uint16) error {
		conn, err := tls.Dial("tcp", address, &tls.Config{InsecureSkipVerify: true, MinVersion: tls.VersionTLS10, MaxVersion: version})
		if err == nil {
			_ = conn.Close()
		}
		return err
	}
	require.Error(t, dial(tls.VersionTLS11))
	require.NoError(t, dial(tls.VersionTLS12))
}

func TestTLSFilesThatCanNotBeUsed(t *testing.T) {
	opts := tlsOptions(t)
	s := newServer(t, httpserver.Options{TLS: opts}, io.Discard)
	require.ErrorContains(t, s.Run(t.Context(), func(net.Addr) {}), "http.tls.cert")
	newPair(t, 1).write(t, opts)
	opts.ClientCA = opts.Key // holds no certificate
	s = newServer(t, httpserver.Options{TLS: opts}, io.Discard)
	require.ErrorContains(t, s.Run(t.Context(), func(net.Addr) {}), "http.tls.client_ca")
}
