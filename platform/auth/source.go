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
	"strings"
	"time"

	"github.com/go-json-experiment/json"
)

const (
	maxKeySet    = 1 << 20 // bytes of a key set, and of an issuer's metadata
	fetchTimeout = 5 * time.Second
)

var errTooLarge = fmt.Errorf("the document is larger than %d bytes", maxKeySet)

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
		return nil, fmt.Errorf("jwks_file: %w", err)
	}
	defer func() { _ = f.Close() }() // only read from
	return limited(f)
}

// urlSource is a set at an address that the configuration names.
type urlSource struct {
	url    string
	client *http.Client
}

func (s urlSource) every() time.Duration { return 5 * time.Minute }

func (s urlSource) read(ctx context.Context) ([]byte, error) {
	doc, err := get(ctx, s.client, s.url, "application/jwk-set+json, application/json")
	if err != nil {
		return nil, fmt.Errorf("jwks_url: %w", err)
	}
	return doc, nil
}

// discoveredSource is a set at the address that the issuer's metadata name (OpenID Connect Discovery 1.0,
// section 4). They are read each time: an issuer may move its keys.
type discoveredSource struct {
	issuer string
	client *http.Client
}

func (s discoveredSource) every() time.Duration { return 5 * time.Minute }

func (s discoveredSource) read(ctx context.Context) ([]byte, error) {
	doc, err := get(ctx, s.client, strings.TrimSuffix(s.issuer, "/")+"/.well-known/openid-configuration", "application/json")
	if err != nil {
		return nil, fmt.Errorf("the issuer's metadata: %w", err)
	}
	keys, err := keysAddress(doc, s.issuer)
	if err != nil {
		return nil, fmt.Errorf("the issuer's metadata: %w", err)
	}
	if doc, err = get(ctx, s.client, keys, "application/jwk-set+json, application/json"); err != nil {
		return nil, fmt.Errorf("the keys that the issuer's metadata name: %w", err)
	}
	return doc, nil
}

// keysAddress returns the jwks_uri of an issuer's metadata. They must be of that very issuer, or anybody whose
// metadata are served at its address could speak for it (section 4.3).
func keysAddress(metadata []byte, issuer string) (string, error) {
	var m struct {
		Issuer  string `json:"issuer"`
		JWKSURI string `json:"jwks_uri"`
	}
	if json.Unmarshal(metadata, &m) != nil {
		return "", errors.New("they are not the expected JSON object")
	}
	if m.Issuer != issuer {
		return "", errors.New("they are of another issuer: auth.issuer must be spelled exactly as there")
	}
	// An issuer elsewhere must not send us to a port of this machine.
	if !trustworthy(m.JWKSURI) || strings.HasPrefix(issuer, "https:") && !strings.HasPrefix(m.JWKSURI, "https:") {
		return "", errors.New("jwks_uri is no https URL")
	}
	return m.JWKSURI, nil
}

func newSource(o IssuerOptions, client *http.Client) source {
	switch {
	case o.JWKSFile != "":
		return fileSource(o.JWKSFile)
	case o.JWKSURL != "":
		return urlSource{o.JWKSURL, client}
	default:
		return discoveredSource{o.Issuer, client}
	}
}

// newClient takes a server's certificate where one of the authorities in the file ca has signed it; of the
// system's where ca is empty. It follows no redirect: that would let whoever answers choose the address that
// this machine asks.
func newClient(ca string) (*http.Client, error) {
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
	return &http.Client{
		Transport: &http.Transport{
			Proxy:                  http.ProxyFromEnvironment,
			TLSClientConfig:        trust,
			TLSHandshakeTimeout:    fetchTimeout,
			DisableKeepAlives:      true, // asked every few minutes: a connection would only linger
			MaxResponseHeaderBytes: 64 << 10,
		},
		Timeout:       fetchTimeout,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}, nil
}

func get(ctx context.Context, client *http.Client, url, accept string) ([]byte, error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return nil, err
	}
	r.Header.Set("Accept", accept)
	answer, err := client.Do(r)
	if err != nil {
		return nil, err
	}
	defer func() { _ = answer.Body.Close() }() // only read from
	if answer.StatusCode/100 == 3 {
		return nil, fmt.Errorf("the answer is %d; redirects are not followed", answer.StatusCode)
	}
	if answer.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("the answer is %d", answer.StatusCode)
	}
	return limited(answer.Body)
}

func limited(r io.Reader) ([]byte, error) {
	doc, err := io.ReadAll(io.LimitReader(r, maxKeySet+1))
	if err != nil {
		return nil, fmt.Errorf("read the document: %w", err)
	}
	if len(doc) > maxKeySet {
		return nil, errTooLarge
	}
	return doc, nil
}
