package kafkaserver

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"os"
	"slices"
	"time"
)

// writeCertificates makes an authority and has it sign a certificate for the broker and one for a
// client. Kafka wants a PEM keystore to be one file: the key as PKCS#8, then the chain.
func writeCertificates(e Endpoints, keystore string) error {
	ca, err := issue(nil, pkix.Name{CommonName: "audittrail test authority"})
	if err != nil {
		return err
	}
	server, err := issue(ca, pkix.Name{CommonName: "localhost"})
	if err != nil {
		return err
	}
	client, err := issue(ca, pkix.Name{CommonName: user})
	if err != nil {
		return err
	}
	for path, blocks := range map[string][]byte{
		e.CA:     ca.certPEM,
		keystore: slices.Concat(server.keyPEM, server.certPEM, ca.certPEM),
		e.Cert:   client.certPEM,
		e.Key:    client.keyPEM,
	} {
		if err := os.WriteFile(path, blocks, 0o600); err != nil {
			return err
		}
	}
	return nil
}

type identity struct {
	cert            *x509.Certificate
	key             *ecdsa.PrivateKey
	certPEM, keyPEM []byte
}

// issue makes a key and a certificate signed by parent; without a parent, a self-signed authority.
func issue(parent *identity, name pkix.Name) (*identity, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	serial, err := rand.Int(rand.Reader, big.NewInt(1<<62))
	if err != nil {
		return nil, err
	}
	template := &x509.Certificate{
		SerialNumber: serial, Subject: name,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(7 * 24 * time.Hour),
		KeyUsage: x509.KeyUsageDigitalSignature, BasicConstraintsValid: true,
	}
	signer := parent
	if parent == nil {
		template.IsCA, template.KeyUsage = true, x509.KeyUsageCertSign
		signer = &identity{cert: template, key: key}
	} else {
		template.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth}
		template.DNSNames = []string{"localhost"}
		template.IPAddresses = []net.IP{net.IPv4(127, 0, 0, 1), net.IPv6loopback}
	}
	der, err := x509.CreateCertificate(rand.Reader, template, signer.cert, &key.PublicKey, signer.key)
	if err != nil {
		return nil, err
	}
	return encode(der, key)
}

func encode(der []byte, key *ecdsa.PrivateKey) (*identity, error) {
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, err
	}
	pkcs8, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, err
	}
	var certPEM, keyPEM bytes.Buffer
	if err := pem.Encode(&certPEM, &pem.Block{Type: "CERTIFICATE", Bytes: der}); err != nil {
		return nil, err
	}
	if err := pem.Encode(&keyPEM, &pem.Block{Type: "PRIVATE KEY", Bytes: pkcs8}); err != nil {
		return nil, err
	}
	return &identity{cert: cert, key: key, certPEM: certPEM.Bytes(), keyPEM: keyPEM.Bytes()}, nil
}
