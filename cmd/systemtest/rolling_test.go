package systemtest

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"audittrail/modules/migrate/migratetest"
	"audittrail/platform/auth/authtest"
	"audittrail/platform/longtest"
)

// TestRollingRestart proves that replacing two API and two ingest processes one by one under load, as a Deployment does
// (a new one is ready before an old one is asked to stop), fails no request and loses nothing.
func TestRollingRestart(t *testing.T) {
	t.Parallel()
	newStack(t).roll(os.Args[0], func() {})
}

// TestRollingUpgrade proves the same of an upgrade from the version before the newest migration: the database is migrated
// while the old version runs (expand), which goes on beside the new one until it is replaced.
func TestRollingUpgrade(t *testing.T) {
	longtest.Only(t, "it builds the version before the newest migration, and upgrades it under load")
	old := versionBeforeTheNewestMigration(t)
	s := stackOn(t, migratetest.EmptyDatabase(t))
	if out, err := commandOf(t.Context(), old, "migrate", "up", "--postgres.url", s.url).CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, tail(out))
	}
	before := one[int64](s, "SELECT version FROM schema_migrations")
	s.roll(old, func() {
		do(t, "migrate", "up", "--postgres.url", s.url)
		if after := one[int64](s, "SELECT version FROM schema_migrations"); after <= before {
			t.Fatalf("version %d was followed by %d", before, after)
		}
	})
}

// versionBeforeTheNewestMigration builds the program as it was before the commit that added the newest migration.
func versionBeforeTheNewestMigration(t *testing.T) string {
	t.Helper()
	git := func(args ...string) string {
		out, err := exec.CommandContext(t.Context(), "git", args...).Output()
		if err != nil {
			noHistory(t, fmt.Sprintf("git %s: %v", args[0], err))
		}
		return strings.TrimSpace(string(out))
	}
	root := git("rev-parse", "--show-toplevel")
	added := git("-C", root, "log", "-1", "--diff-filter=A", "--format=%H", "--", "migrations/*.up.sql")
	if added == "" {
		noHistory(t, "no commit adds a migration")
	}
	source, binary := t.TempDir(), filepath.Join(t.TempDir(), "audittrail")
	archive := filepath.Join(t.TempDir(), "source.tar")
	git("-C", root, "archive", "--format=tar", "--output", archive, added+"^")
	if out, err := exec.CommandContext(t.Context(), "tar", "-xf", archive, "-C", source).CombinedOutput(); err != nil {
		t.Fatalf("tar: %v\n%s", err, out)
	}
	build := exec.CommandContext(t.Context(), "go", "build", "-buildvcs=false", "-o", binary, ".")
	build.Dir = source
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("build %s^: %v\n%s", added, err, out)
	}
	return binary
}

// noHistory skips t; in CI, whose clone MUST be whole, it fails.
func noHistory(t *testing.T, why string) {
	t.Helper()
	if os.Getenv("CI") != "" {
		t.Fatalf("CI must have the whole history, to build an older version from: %s", why)
	}
	t.Skipf("there is no history to build an older version from: %s", why)
}

// endpoints are the API's processes that requests are sent to, as a Service has them.
type endpoints struct {
	mu  sync.Mutex
	all []string
	n   int
}

func (e *endpoints) add(address string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.all = append(e.all, address)
}

func (e *endpoints) remove(address string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.all = slices.DeleteFunc(e.all, func(a string) bool { return a == address })
}

func (e *endpoints) has(address string) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	return slices.Contains(e.all, address)
}

// pick returns one after the other, so that each gets requests.
func (e *endpoints) pick() string {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.n++
	return e.all[e.n%len(e.all)]
}

// follow sends requests to the endpoints until done, none twice. A connection that an endpoint refuses which is none any
// more has cost no request.
func (c *caller) follow(e *endpoints, done *atomic.Bool) error {
	for !done.Load() {
		c.address = e.pick()
		err := c.connection()
		var refused *net.OpError
		if errors.As(err, &refused) && refused.Op == "dial" && !e.has(c.address) {
			continue
		}
		if err != nil {
			return fmt.Errorf("%s after %d answers: %w", c.address, c.served.Load(), err)
		}
	}
	return nil
}

// roll starts two API and two ingest processes of a binary, and replaces each by one of this program under load. prepare
// runs before the first is replaced.
func (s *stack) roll(from string, prepare func()) {
	t, issuer, f := s.t, authtest.NewIssuer(s.t), newFeed(s)
	trust := issuer.Options()
	api := func(binary, name string) (*program, string) {
		address := freeAddress(t)
		p := s.serve(binary, name, "--roles=api", "--http.addr", address, "--shutdown.delay", "2s",
			"--auth.issuer", trust.Issuer, "--auth.audience", trust.Audience, "--auth.jwks_file", trust.JWKSFile)
		eventually(t, time.Minute, name+" is ready", p.ready)
		return p, address
	}
	ingest := func(binary, name string) *program {
		p := s.serve(binary, name, "--kafka.session_timeout", "6s", "--ingest.max_batch_events", "500", "--shutdown.delay", "1s")
		eventually(t, time.Minute, name+" is ready", p.ready)
		return p
	}

	service := &endpoints{}
	var apis, ingests []*program
	var addresses []string
	for n := range 2 {
		p, address := api(from, fmt.Sprintf("api-%d", n))
		apis, addresses = append(apis, p), append(addresses, address)
		service.add(address)
		ingests = append(ingests, ingest(from, fmt.Sprintf("ingest-%d", n)))
	}
	stopLoad := f.load(200, 40*time.Millisecond)
	var done atomic.Bool
	var callers sync.WaitGroup
	paths := []string{"/v1/events?limit=20", "/v1/feed?limit=20", "/v1/events?limit=20&order=asc", "/v1/me"}
	all := make([]*caller, len(paths))
	for n, path := range paths {
		all[n] = &caller{path: path, token: issuer.Token(nil), keepAlive: n%2 == 0}
		callers.Go(func() {
			if err := all[n].follow(service, &done); err != nil {
				t.Errorf("%s: a request failed: %v", path, err)
			}
		})
	}
	answered := func() {
		t.Helper()
		for _, c := range all {
			from := c.served.Load()
			eventually(t, time.Minute, "requests are answered", func(context.Context) error {
				if c.served.Load() <= from+2 && !t.Failed() {
					return errors.New("not yet")
				}
				return nil
			})
		}
	}
	answered()
	prepare()

	for n := range 2 {
		next, address := api(os.Args[0], fmt.Sprintf("api-%d-new", n))
		service.add(address)
		apis[n].signal(syscall.SIGTERM)
		service.remove(addresses[n]) // as Kubernetes takes a pod that terminates out of its Services
		answered()
		<-apis[n].exited
		if apis[n].err != nil {
			t.Errorf("%s: %v", apis[n].name, apis[n].err)
		}
		apis[n], addresses[n] = next, address

		replaced := ingest(os.Args[0], fmt.Sprintf("ingest-%d-new", n))
		ingests[n].stop()
		ingests[n] = replaced
		s.everyPartitionMoves(time.Minute)
		answered()
	}
	stopLoad()
	s.caughtUp(time.Minute, ingests...)
	done.Store(true)
	for _, p := range apis { // a kept connection ends behind its next answer
		p.signal(syscall.SIGTERM)
	}
	callers.Wait()
	for _, p := range apis {
		<-p.exited
	}
	for _, p := range ingests {
		p.stop()
	}
	s.balanced()
	f.holdsAll()
	served := int64(0)
	for _, c := range all {
		served += c.served.Load()
	}
	t.Logf("%d events, %d requests", f.sent, served)
}
