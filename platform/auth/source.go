package auth

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"time"
)

const (
	maxKeySet    = 1 << 20 // bytes of a key set
	fetchTimeout = 5 * time.Second
)

var errKeySetTooLarge = fmt.Errorf("the key set is larger than %d bytes", maxKeySet)

// source is where a key set is read.
type source interface {
	read(ctx context.Context) ([]byte, error)
	every() time.Duration // how often it is read again
}

type fileSource string

func (s fileSource) every() time.Duration { return 5 * time.Second }

func (s fileSource) read(context.Context) ([]byte, error) {
	f, err := os.Open(string(s))
	if err != nil {
		return nil, fmt.Errorf("auth.jwks_file: %w", err)
	}
	defer func() { _ = f.Close() }() // only read from
	return limited(f)
}

type urlSource struct {
	url    string
	client *http.Client
}

// newURLSource takes the server's certificate where one of the authorities in the file ca has signed it; of
// the system's where ca is empty.
func newURLSource(url, ca string) (*urlSource, error) {
	trust := &tls.Config{MinVersion: tls.VersionTLS12}
	if ca != "" {
		pem, err := os.ReadFile(ca)
		if err != nil {
			return nil, fmt.Errorf("auth.ca: %w", err)
		}
		trust.RootCAs = x509.NewCertPool()
		if !trust.RootCAs.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("auth.ca: %s holds no PEM certificate", ca)
		}
	}
	transport := &http.Transport{
		Proxy:               http.ProxyFromEnvironment,
		TLSClientConfig:     trust,
		TLSHandshakeTimeout: fetchTimeout,
		DisableKeepAlives:   true, // asked every few minutes: a connection would only linger
	}
	return &urlSource{url: url, client: &http.Client{
		Transport: transport,
		Timeout:   fetchTimeout,
		CheckRedirect: func(r *http.Request, via []*http.Request) error {
			if len(via) > 3 || !trustworthy(r.URL.String()) {
				return errors.New("redirected to where keys are not taken from")
			}
			return nil
		},
	}}, nil
}

func (s *urlSource) every() time.Duration { return 5 * time.Minute }

func (s *urlSource) read(ctx context.Context) ([]byte, error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, s.url, nil)
	if err != nil {
		return nil, fmt.Errorf("auth.jwks_url: %w", err)
	}
	r.Header.Set("Accept", "application/jwk-set+json, application/json")
	answer, err := s.client.Do(r)
	if err != nil {
		return nil, fmt.Errorf("auth.jwks_url: %w", err)
	}
	defer func() { _ = answer.Body.Close() }() // only read from
	if answer.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("auth.jwks_url answered %d", answer.StatusCode)
	}
	return limited(answer.Body)
}

func limited(r io.Reader) ([]byte, error) {
	doc, err := io.ReadAll(io.LimitReader(r, maxKeySet+1))
	if err != nil {
		return nil, fmt.Errorf("read the key set: %w", err)
	}
	if len(doc) > maxKeySet {
		return nil, errKeySetTooLarge
	}
	return doc, nil
}
