// Package migratetest gives tests a real PostgreSQL: a fresh, migrated database for each test, or a
// server of its own for tests that stop it.
//
// The server that the tests of a process share is started by the first that asks and ends with the
// process, however that ends, and so do its data.
package migratetest

import (
	"context"
	"fmt"
	"net/url"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"audittrail/modules/migrate"
	"audittrail/platform/devstack"
)

// template is the migrated database that others are clones of.
const template = "audittrail_template"

// settings are for many small databases. The server is shared by tests that run at once, each with
// several pools.
func settings() map[string]string {
	return map[string]string{"max_connections": "300", "shared_buffers": "64MB", "max_locks_per_transaction": "256"}
}

// cluster is a server with a template in it.
type cluster struct {
	server *devstack.Postgres
	clones atomic.Int64
}

// shared is the one server of this process. It is a variable of the package because testing has no
// place for what outlives a test; it is set once and never again.
var shared = sync.OnceValues(func() (*cluster, error) {
	return newCluster(context.Background())
})

func newCluster(ctx context.Context) (*cluster, error) {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Minute) // it may have to be downloaded
	defer cancel()
	server, err := devstack.StartPostgres(ctx, devstack.PostgresOptions{Fast: true, Settings: settings()})
	if err != nil {
		return nil, err
	}
	c := &cluster{server: server}
	if err := c.makeTemplate(ctx); err != nil {
		_ = server.Stop(ctx) // the first error says more
		return nil, err
	}
	return c, nil
}

func (c *cluster) makeTemplate(ctx context.Context) error {
	if err := c.execute(ctx, "CREATE DATABASE "+template); err != nil {
		return err
	}
	return migrate.Up(ctx, migrate.Options{URL: c.server.URL(template)})
}

// clone makes a copy of a database and answers its name.
func (c *cluster) clone(ctx context.Context, of string) (string, error) {
	name := fmt.Sprintf("test_%d", c.clones.Add(1))
	return name, c.execute(ctx, "CREATE DATABASE "+name+" TEMPLATE "+of+" STRATEGY FILE_COPY")
}

func (c *cluster) drop(ctx context.Context, name string) error {
	return c.execute(ctx, "DROP DATABASE IF EXISTS "+name+" WITH (FORCE)")
}

// execute runs a statement that no transaction can hold. Its names are our own, never input.
func (c *cluster) execute(ctx context.Context, statement string) error {
	conn, err := pgx.Connect(ctx, c.server.URL("postgres"))
	if err != nil {
		return fmt.Errorf("test server: %w", err)
	}
	defer conn.Close(ctx) //nolint:errcheck // the statement has answered
	if _, err := conn.Exec(ctx, statement); err != nil {
		return fmt.Errorf("test server: %s: %w", statement, err)
	}
	return nil
}

// Database makes a database for t, migrated and empty, and drops it when t is over, also under
// connections that t left open. It answers the superuser's URL (sslmode=disable); with the parameter
// role a connection has a runtime role's rights.
func Database(t testing.TB) string {
	t.Helper()
	c := sharedServer(t)
	return c.database(t)
}

// originals are the databases that Copy has filled. As shared they outlive the tests, and end with the server.
var originals = struct {
	sync.Mutex
	byName map[string]*original
}{byName: map[string]*original{}}

type original struct {
	sync.Mutex
	database string // "" until it is filled
}

// Copy makes a database for t, as Database does: a copy of the one that fill has filled, once for each name. fill MUST
// close its connections.
func Copy(t testing.TB, name string, fill func(databaseURL string)) string {
	t.Helper()
	c := sharedServer(t)
	originals.Lock()
	of := originals.byName[name]
	if of == nil {
		of = &original{}
		originals.byName[name] = of
	}
	originals.Unlock()
	copied, err := c.clone(t.Context(), of.filled(t, c, fill))
	if err != nil {
		t.Fatal(err)
	}
	c.dropAfter(t, copied)
	return c.server.URL(copied)
}

// filled returns the name of the database, which it fills the first time. Others wait for that.
func (o *original) filled(t testing.TB, c *cluster, fill func(databaseURL string)) string {
	t.Helper()
	o.Lock()
	defer o.Unlock()
	if o.database == "" {
		name, err := c.clone(t.Context(), template)
		if err != nil {
			t.Fatal(err)
		}
		fill(c.server.URL(name)) // ends the test where it fails
		o.database = name
	}
	return o.database
}

// EmptyDatabase is Database without the migrations.
func EmptyDatabase(t testing.TB) string {
	t.Helper()
	c := sharedServer(t)
	name := fmt.Sprintf("test_%d", c.clones.Add(1))
	if err := c.execute(t.Context(), "CREATE DATABASE "+name+" STRATEGY FILE_COPY"); err != nil {
		t.Fatal(err)
	}
	c.dropAfter(t, name)
	return c.server.URL(name)
}

// AsRole is url with a role that each connection takes when it starts.
func AsRole(t testing.TB, databaseURL, role string) string {
	t.Helper()
	u, err := url.Parse(databaseURL)
	if err != nil {
		t.Fatal(err)
	}
	q := u.Query()
	q.Set("role", role)
	u.RawQuery = q.Encode()
	return u.String()
}

func sharedServer(t testing.TB) *cluster {
	t.Helper()
	c, err := shared()
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func (c *cluster) database(t testing.TB) string {
	t.Helper()
	name, err := c.clone(t.Context(), template)
	if err != nil {
		t.Fatal(err)
	}
	c.dropAfter(t, name)
	return c.server.URL(name)
}

func (c *cluster) dropAfter(t testing.TB, name string) {
	t.Helper()
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
		defer cancel()
		if err := c.drop(ctx, name); err != nil {
			t.Error(err)
		}
	})
}
