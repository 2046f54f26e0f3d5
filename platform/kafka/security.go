package kafka

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"os"

	"audittrail/platform/config"
)

// TLSOptions is the configuration section `kafka.tls`.
type TLSOptions struct {
	Enabled bool   `key:"enabled" default:"false" help:"speak TLS with the brokers"`
	CA      string `key:"ca" help:"file with the authorities of the brokers' certificates (PEM); the system's where it is empty"`
	Cert    string `key:"cert" help:"file with the client certificate and its chain (PEM)"`
	Key     string `key:"key" help:"file with the client certificate's private key (PEM)"`
}

func (o TLSOptions) validate() error {
	var errs []error
	if !o.Enabled {
		// A file that is named but not used is a mistake that would send everything in the clear.
		for _, file := range []struct{ key, value string }{{"tls.ca", o.CA}, {"tls.cert", o.Cert}, {"tls.key", o.Key}} {
			if file.value != "" {
				errs = append(errs, config.Invalid(file.key, "is given, but tls.enabled is false"))
			}
		}
		return errors.Join(errs...)
	}
	if o.Cert != "" && o.Key == "" {
		errs = append(errs, config.Invalid("tls.key", "must be given together with tls.cert"))
	}
	if o.Key != "" && o.Cert == "" {
		errs = append(errs, config.Invalid("tls.cert", "must be given together with tls.key"))
	}
	return errors.Join(errs...)
}

// config reads the files. The client certificate is read again at every handshake, so that one that is
// rotated on disk is taken without a restart.
func (o TLSOptions) config() (*tls.Config, error) {
	c := &tls.Config{MinVersion: tls.VersionTLS12}
	if o.CA != "" {
		pem, err := os.ReadFile(o.CA)
		if err != nil {
			return nil, fmt.Errorf("kafka.tls.ca: %w", err)
		}
		c.RootCAs = x509.NewCertPool()
		if !c.RootCAs.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("kafka.tls.ca: %s holds no PEM certificate", o.CA)
		}
	}
	if o.Cert == "" {
		return c, nil
	}
	load := func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
		pair, err := tls.LoadX509KeyPair(o.Cert, o.Key)
		if err != nil {
			return nil, fmt.Errorf("kafka.tls.cert, kafka.tls.key: %w", err)
		}
		return &pair, nil
	}
	if _, err := load(nil); err != nil {
		return nil, err
	}
	c.GetClientCertificate = load
	return c, nil
}
