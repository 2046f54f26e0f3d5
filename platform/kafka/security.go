package kafka

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"os"

	"github.com/twmb/franz-go/pkg/sasl"
	"github.com/twmb/franz-go/pkg/sasl/plain"
	"github.com/twmb/franz-go/pkg/sasl/scram"

	"audittrail/platform/config"
)

// TLSOptions is the configuration section `kafka.tls`.
type TLSOptions struct {
	Enabled bool   `key:"enabled" default:"false" help:"speak TLS with the brokers"`
	CA      string `key:"ca" help:"file with the authorities of the brokers' certificates (PEM); the system's where it is empty"`
	Cert    string `key:"cert" help:"file with the client certificate and its chain (PEM)"`
	Key     string `key:"key" help:"file with the client certificate's private key (PEM)"`
}

// SASLOptions is the configuration section `kafka.sasl`.
type SASLOptions struct {
	Mechanism string `key:"mechanism" help:"PLAIN, SCRAM-SHA-256 or SCRAM-SHA-512; empty for none"`
	Username  string `key:"username" help:"user at the brokers"`
	Password  string `key:"password" secret:"true" help:"password at the brokers"`

	// Fresh returns the password as it is now, for each new connection, so that it may rotate. It may be nil.
	Fresh func() string
}

// The mechanisms that are spoken.
const (
	plainMechanism    = "PLAIN"
	scram256Mechanism = "SCRAM-SHA-256"
	scram512Mechanism = "SCRAM-SHA-512"
)

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

func (o SASLOptions) validate(tlsEnabled bool) error {
	var errs []error
	switch o.Mechanism {
	case "":
		if o.Username != "" || o.Password != "" {
			errs = append(errs, config.Invalid("sasl.mechanism", "must be given together with sasl.username and sasl.password"))
		}
		return errors.Join(errs...)
	case plainMechanism:
		if !tlsEnabled {
			errs = append(errs, config.Invalid("sasl.mechanism", "must not be PLAIN without tls.enabled: the password would cross the network in the clear"))
		}
	case scram256Mechanism, scram512Mechanism:
	default:
		errs = append(errs, config.Invalid("sasl.mechanism", "must be %s, %s or %s", plainMechanism, scram256Mechanism, scram512Mechanism))
	}
	if o.Username == "" {
		errs = append(errs, config.Invalid("sasl.username", "must be given together with sasl.mechanism"))
	}
	if o.Password == "" {
		errs = append(errs, config.Invalid("sasl.password", "must be given together with sasl.mechanism"))
	}
	return errors.Join(errs...)
}

func (o SASLOptions) mechanism() (sasl.Mechanism, error) {
	password := func() string { return o.Password }
	if o.Fresh != nil {
		password = o.Fresh
	}
	salted := func(context.Context) (scram.Auth, error) { return scram.Auth{User: o.Username, Pass: password()}, nil }
	switch o.Mechanism {
	case plainMechanism:
		return plain.Plain(func(context.Context) (plain.Auth, error) {
			return plain.Auth{User: o.Username, Pass: password()}, nil
		}), nil
	case scram256Mechanism:
		return scram.Sha256(salted), nil
	case scram512Mechanism:
		return scram.Sha512(salted), nil
	}
	return nil, fmt.Errorf("kafka.sasl.mechanism %q is not known", o.Mechanism)
}
