package httpserver

import (
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"time"
)

// lookAgain is how often, at most, the certificate's files are looked at.
const lookAgain = time.Second

// certificates makes the TLS configuration of new connections, from files that may be replaced.
type certificates struct {
	opts TLSOptions
	log  *slog.Logger

	mu     sync.Mutex // holds all below
	looked time.Time
	seen   [3]fileState
	config *tls.Config
}

// fileState is the SHA-256 of a file; zero where there is none. Size and time do not tell whether a file was
// replaced: certificates are of one size, and tools that deploy them may set the time.
type fileState [sha256.Size]byte

// newCertificates returns nil where no certificate is configured.
func newCertificates(opts TLSOptions, log *slog.Logger) (*certificates, error) {
	if opts.Cert == "" {
		return nil, nil
	}
	c := &certificates{opts: opts, log: log, looked: time.Now()}
	c.seen = c.states()
	var err error
	if c.config, err = load(opts); err != nil {
		return nil, err
	}
	return c, nil
}

// server is the listener's configuration; nil where there are no certificates.
func (c *certificates) server() *tls.Config {
	if c == nil {
		return nil
	}
	return &tls.Config{
		MinVersion:         tls.VersionTLS12,
		NextProtos:         []string{"h2", "http/1.1"},
		GetConfigForClient: func(*tls.ClientHelloInfo) (*tls.Config, error) { return c.current(), nil },
	}
}

// reload reads the files now, whether they look changed or not. Files that can't be used are an error,
// and leave the last good ones in place. It does nothing where there are no certificates.
func (c *certificates) reload() error {
	if c == nil {
		return nil
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	states := c.states()
	loaded, err := load(c.opts)
	if err != nil {
		return err
	}
	c.looked, c.seen, c.config = time.Now(), states, loaded
	return nil
}

// current is the configuration by the files as they are now. Files that can't be used leave the last good
// one in place: a half-written certificate must not stop a server that runs.
func (c *certificates) current() *tls.Config {
	c.mu.Lock()
	defer c.mu.Unlock()
	if time.Since(c.looked) < lookAgain {
		return c.config
	}
	c.looked = time.Now()
	states := c.states()
	if states == c.seen {
		return c.config
	}
	loaded, err := load(c.opts)
	if err != nil {
		c.log.Warn("the changed TLS files can't be used; the last good ones stay", slog.Any("error", err))
		return c.config
	}
	c.seen, c.config = states, loaded
	c.log.Info("TLS files were read again")
	return c.config
}

func (c *certificates) states() (states [3]fileState) {
	for i, name := range []string{c.opts.Cert, c.opts.Key, c.opts.ClientCA} {
		if name == "" {
			continue
		}
		if content, err := os.ReadFile(name); err == nil {
			states[i] = sha256.Sum256(content)
		}
	}
	return states
}

func load(opts TLSOptions) (*tls.Config, error) {
	pair, err := tls.LoadX509KeyPair(opts.Cert, opts.Key)
	if err != nil {
		return nil, fmt.Errorf("http.tls.cert and http.tls.key: %w", err)
	}
	config := &tls.Config{
		MinVersion:   tls.VersionTLS12,
		Certificates: []tls.Certificate{pair},
		NextProtos:   []string{"h2", "http/1.1"},
	}
	if opts.ClientCA == "" {
		return config, nil
	}
	pem, err := os.ReadFile(opts.ClientCA)
	if err != nil {
		return nil, fmt.Errorf("http.tls.client_ca: %w", err)
	}
	config.ClientCAs = x509.NewCertPool()
	if !config.ClientCAs.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("http.tls.client_ca: %w", errors.New("holds no certificate"))
	}
	config.ClientAuth = tls.VerifyClientCertIfGiven
	if opts.ClientRequired {
		config.ClientAuth = tls.RequireAndVerifyClientCert
	}
	config.SessionTicketsDisabled = true // a resumed session is not verified by authorities that changed since
	return config, nil
}
