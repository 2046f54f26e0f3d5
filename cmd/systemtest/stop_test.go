package systemtest

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"audittrail/platform/auth/authtest"
)

// api starts a process with the roles ingest and api, and waits until it is ready.
func (s *stack) api(issuer *authtest.Issuer, flags ...string) (p *program, address string) {
	s.t.Helper()
	address = freeAddress(s.t)
	trust := issuer.Options()
	args := []string{"--roles=api", "--http.addr", address, "--auth.issuer", trust.Issuer, "--auth.audience", trust.Audience}
	p = s.ingest("api", append(args, flags...)...)
	eventually(s.t, time.Minute, "the api is ready", p.ready)
	return p, address
}

// visit asks the operators' port by a new connection; an error is a port that does not answer.
func (p *program) visit(path string) (int, string, error) {
	request, err := http.NewRequestWithContext(context.Background(), http.MethodGet, "http://"+p.admin+path, nil)
	if err != nil {
		return 0, "", err
	}
	request.Close = true
	response, err := (&http.Client{Timeout: 10 * time.Second}).Do(request)
	if err != nil {
		return 0, "", err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	return response.StatusCode, string(body), err
}

// caller sends one request after the other, and repeats none: each must be answered 200.
type caller struct {
	address, path, token string
	keepAlive            bool

	until  atomic.Int64 // Unix nanoseconds: a connection that is made later may be refused; 0: not known yet
	served atomic.Int64 // requests that were answered
	asked  atomic.Int64 // answers that closed a connection which was to be kept
}

// run asks until the listener has closed, and returns what should not have happened.
func (c *caller) run() error {
	for {
		begun := time.Now()
		err := c.connection()
		if until := c.until.Load(); err != nil && until > 0 && begun.UnixNano() >= until {
			return nil
		}
		if err != nil {
			return fmt.Errorf("after %d answers: %w", c.served.Load(), err)
		}
	}
}

// connection asks by one connection until an answer closes it.
func (c *caller) connection() error {
	conn, err := net.DialTimeout("tcp", c.address, 10*time.Second)
	if err != nil {
		return err
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(time.Minute))
	answers := bufio.NewReader(conn)
	for {
		request, err := http.NewRequest(http.MethodGet, "http://"+c.address+c.path, nil)
		if err != nil {
			return err
		}
		request.Header.Set("Authorization", "Bearer "+c.token)
		request.Close = !c.keepAlive
		if err := request.Write(conn); err != nil {
			return err
		}
		response, err := http.ReadResponse(answers, request)
		if err != nil {
			return err
		}
		defer response.Body.Close()
		body, err := io.ReadAll(response.Body)
		if err != nil {
			return err
		}
		if response.StatusCode != http.StatusOK {
			return fmt.Errorf("%s: %s", response.Status, body)
		}
		c.served.Add(1)
		if response.Close {
			if c.keepAlive {
				c.asked.Add(1)
			}
			return nil
		}
	}
}

// TestNoRequestFailsWhileTheProgramStops sends requests through a whole stop by SIGTERM, by kept and by new
// connections and one that waits for events. All are answered until the listener closes, which is not
// before shutdown.delay. Meanwhile the probes say that the process stops.
func TestNoRequestFailsWhileTheProgramStops(t *testing.T) {
	const delay = 2 * time.Second
	s, issuer := newStack(t), authtest.NewIssuer(t)
	p, address := s.api(issuer, "--auth.jwks_file", issuer.Options().JWKSFile, "--shutdown.delay", delay.String())
	callers := []*caller{{keepAlive: true}, {keepAlive: true}, {}, {}}
	var running sync.WaitGroup
	for _, c := range callers {
		c.address, c.path, c.token = address, "/v1/events", issuer.Token(nil)
		running.Go(func() {
			if err := c.run(); err != nil {
				t.Errorf("keep-alive %t: %v", c.keepAlive, err)
			}
		})
	}
	waiting := &caller{address: address, path: "/v1/feed?wait=30", token: issuer.Token(nil)}
	running.Go(func() {
		if err := waiting.connection(); err != nil {
			t.Errorf("the feed that waits: %v", err)
		}
	})
	answered := func(c *caller, more int64) {
		t.Helper()
		from := c.served.Load()
		eventually(t, 20*time.Second, "requests are answered", func(context.Context) error {
			if n := c.served.Load() - from; n < more {
				return fmt.Errorf("%d of %d", n, more)
			}
			return nil
		})
	}
	for _, c := range callers {
		answered(c, 5)
	}

	begun := time.Now()
	for _, c := range callers {
		c.until.Store(begun.Add(delay).UnixNano())
	}
	p.signal(syscall.SIGTERM)
	for _, path := range []string{"/readyz", "/readyz/api", "/readyz/ingest"} {
		eventually(t, delay, path+" says that the process stops", func(context.Context) error {
			status, body, err := p.visit(path)
			if err == nil && (status != http.StatusServiceUnavailable || !strings.Contains(body, `"stopping":true`)) {
				err = fmt.Errorf("%d %s", status, body)
			}
			return err
		})
	}
	for _, c := range callers {
		answered(c, 2) // also after the probes have said so
	}
	if took := time.Since(begun); took > delay {
		t.Fatalf("the machine is too slow to tell: %s", took)
	}
	running.Wait()
	for _, c := range callers {
		if c.keepAlive && c.asked.Load() == 0 {
			t.Error("a kept connection was not closed behind an answer")
		}
	}
	<-p.exited
	if p.err != nil {
		t.Errorf("exit status: %v", p.err)
	}
	if took := time.Since(begun); took < delay {
		t.Errorf("stopped after %s, before shutdown.delay", took)
	}
}

// TestInterruptAndASecondSignalDoNotWait proves that SIGINT stops without shutdown.delay, and that a second
// signal, of the other kind, ends a process that still serves.
func TestInterruptAndASecondSignalDoNotWait(t *testing.T) {
	s, issuer := newStack(t), authtest.NewIssuer(t)
	ends := func(p *program) {
		t.Helper()
		select {
		case <-p.exited:
		case <-time.After(time.Minute): // shutdown.delay is far longer
			t.Fatal("the process goes on")
		}
	}
	keys, delay := issuer.Options().JWKSFile, time.Hour.String()
	p, _ := s.api(issuer, "--auth.jwks_file", keys, "--shutdown.delay", delay)
	p.signal(syscall.SIGINT)
	ends(p)
	if p.err != nil {
		t.Errorf("after SIGINT: %v", p.err)
	}

	p, _ = s.api(issuer, "--auth.jwks_file", keys, "--shutdown.delay", delay)
	p.signal(syscall.SIGTERM)
	eventually(t, time.Minute, "the process says that it stops", func(context.Context) error {
		_, body, err := p.visit("/readyz/api")
		if err == nil && !strings.Contains(body, `"reason":"stopping"`) {
			err = fmt.Errorf("it says %s", body)
		}
		return err
	})
	eventually(t, time.Minute, "the process stops at the second signal", func(context.Context) error {
		select {
		case <-p.exited:
			return nil
		default:
			_ = p.cmd.Process.Signal(syscall.SIGINT) // within a moment it counts as the first
			return fmt.Errorf("it serves")
		}
	})
	if p.err == nil {
		t.Error("a process that was cut off says that it stopped in good order")
	}
}

// TestHangupReadsTokenKeysAgain proves that SIGHUP ends nothing, and that a key which the issuer has
// withdrawn counts no longer after it.
func TestHangupReadsTokenKeysAgain(t *testing.T) {
	s, issuer := newStack(t), authtest.NewIssuer(t)
	var keys atomic.Value
	keys.Store(issuer.JWKS())
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = w.Write(keys.Load().([]byte))
	}))
	defer server.Close()
	p, address := s.api(issuer, "--auth.jwks_url", server.URL)
	old := &caller{address: address, path: "/v1/events", token: issuer.Token(nil)}
	if err := old.connection(); err != nil {
		t.Fatal(err)
	}
	issuer.Rotate()
	keys.Store(issuer.JWKS())
	if err := old.connection(); err != nil { // the keys are in use for five minutes
		t.Fatal(err)
	}
	p.signal(syscall.SIGHUP)
	eventually(t, 20*time.Second, "the withdrawn key is refused", func(context.Context) error {
		p.alive()
		if err := old.connection(); err == nil || !strings.HasPrefix(err.Error(), "401 ") {
			return errors.Join(errors.New("it is not refused"), err)
		}
		return nil
	})
	fresh := &caller{address: address, path: "/v1/events", token: issuer.Token(nil)}
	if err := fresh.connection(); err != nil {
		t.Fatal(err)
	}
	p.signal(syscall.SIGINT)
	<-p.exited
	if p.err != nil {
		t.Errorf("exit status: %v", p.err)
	}
}
