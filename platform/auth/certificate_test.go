package auth

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"math/big"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// shown is a connection whose client showed a certificate for a subject.
func shown(t *testing.T, subject pkix.Name) *tls.ConnectionState {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: subject, NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	require.NoError(t, err)
	cert, err := x509.ParseCertificate(der)
	require.NoError(t, err)
	chain := []*x509.Certificate{cert}
	return &tls.ConnectionState{PeerCertificates: chain, VerifiedChains: [][]*x509.Certificate{chain}}
}

func TestPrincipalOfACertificate(t *testing.T) {
	c := NewCertificates([]CertificateOptions{{Subject: "CN=billing,O=Example", Principal: "billing", Roles: []string{"viewer"}}})
	billing := pkix.Name{CommonName: "billing", Organization: []string{"Example"}}

	state := shown(t, billing)
	p, ok := c.Principal(state)
	require.True(t, ok)
	require.Equal(t, Principal{Subject: "billing", Roles: []string{"viewer"}, ExpiresAt: state.PeerCertificates[0].NotAfter}, p)

	unverified := shown(t, billing)
	unverified.VerifiedChains = nil
	twoNames := billing
	twoNames.ExtraNames = []pkix.AttributeTypeAndValue{{Type: asn1.ObjectIdentifier{2, 5, 4, 3}, Value: "other"}, {Type: asn1.ObjectIdentifier{2, 5, 4, 3}, Value: "billing"}}
	for name, state := range map[string]*tls.ConnectionState{
		"plain HTTP":        nil,
		"no certificate":    {},
		"not verified":      unverified,
		"another subject":   shown(t, pkix.Name{CommonName: "other", Organization: []string{"Example"}}),
		"a shorter subject": shown(t, pkix.Name{CommonName: "billing"}),
		"a longer subject":  shown(t, pkix.Name{CommonName: "billing", Organization: []string{"Example"}, Country: []string{"DE"}}),
		"two common names":  shown(t, twoNames),
		"no subject":        shown(t, pkix.Name{}),
	} {
		t.Run(name, func(t *testing.T) {
			_, ok := c.Principal(state)
			require.False(t, ok)
		})
	}

	c.now = func() time.Time { return time.Now().Add(2 * time.Hour) }
	_, ok = c.Principal(state)
	require.False(t, ok, "it has expired since the handshake")
	_, ok = Certificates{}.Principal(state)
	require.False(t, ok, "no mapping")
}

func TestValidateCertificates(t *testing.T) {
	err := ValidateCertificates("client_principals", []CertificateOptions{{Subject: "CN=a"}, {Principal: "b", Roles: []string{""}}, {Subject: "CN=a", Principal: "c"}})
	for _, want := range []string{"client_principals[0].principal", "client_principals[1].subject", "client_principals[1].roles", "client_principals[2].subject is that of an earlier"} {
		require.ErrorContains(t, err, want)
	}
	require.NoError(t, ValidateCertificates("client_principals", nil))
}
