package migratetest_test

import (
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"audittrail/modules/migrate"
	"audittrail/modules/migrate/migratetest"
)

func connect(t *testing.T, url string) *pgx.Conn {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close(t.Context()) }) //nolint:errcheck // the server may be gone
	return conn
}

func TestDatabasesAreMigratedAndSeparate(t *testing.T) {
	first, second := connect(t, migratetest.Database(t)), connect(t, migratetest.Database(t))
	if err := migrate.Check(t.Context(), first); err != nil {
		t.Fatal(err)
	}
	if _, err := first.Exec(t.Context(), "CREATE TABLE mine ()"); err != nil {
		t.Fatal(err)
	}
	var there bool
	if err := second.QueryRow(t.Context(), "SELECT to_regclass('mine') IS NOT NULL").Scan(&there); err != nil {
		t.Fatal(err)
	}
	if there {
		t.Error("two tests share a database")
	}
}

func TestCopiesAreOfOneOriginal(t *testing.T) {
	filled := 0
	copied := func() *pgx.Conn {
		return connect(t, migratetest.Copy(t, t.Name(), func(url string) {
			filled++
			conn := connect(t, url)
			defer conn.Close(t.Context()) //nolint:errcheck // the statement has answered
			if _, err := conn.Exec(t.Context(), "CREATE TABLE theirs ()"); err != nil {
				t.Fatal(err)
			}
		}))
	}
	first, second := copied(), copied()
	if _, err := first.Exec(t.Context(), "DROP TABLE theirs"); err != nil {
		t.Fatal(err)
	}
	if _, err := second.Exec(t.Context(), "SELECT FROM theirs"); err != nil {
		t.Error(err)
	}
	if filled != 1 {
		t.Errorf("the original was filled %d times", filled)
	}
}

func TestDatabaseTakesARole(t *testing.T) {
	conn := connect(t, migratetest.AsRole(t, migratetest.Database(t), "audittrail_api"))
	var role string
	if err := conn.QueryRow(t.Context(), "SELECT current_user").Scan(&role); err != nil {
		t.Fatal(err)
	}
	if role != "audittrail_api" {
		t.Errorf("role %s", role)
	}
}

func TestServerKeepsItsDataAndPort(t *testing.T) {
	s := migratetest.Server(t)
	url := s.URL()
	conn := connect(t, url)
	if _, err := conn.Exec(t.Context(), "CREATE TABLE kept ()"); err != nil {
		t.Fatal(err)
	}
	s.Crash()
	if _, err := conn.Exec(t.Context(), "SELECT 1"); err == nil {
		t.Error("the connection outlived its server")
	}
	s.Start()
	s.Restart()
	if s.URL() != url {
		t.Error("the URL changed")
	}
	if _, err := connect(t, url).Exec(t.Context(), "SELECT FROM kept"); err != nil {
		t.Error(err)
	}
}

func BenchmarkDatabase(b *testing.B) {
	for range b.N {
		began := time.Now()
		migratetest.Database(b)
		b.ReportMetric(float64(time.Since(began).Milliseconds()), "ms/clone")
	}
}
