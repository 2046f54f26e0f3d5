package cmd

import (
	"bytes"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"audittrail/modules/migrate/migratetest"
)

// migrateCommand runs `audittrail migrate` on a database.
func migrateCommand(t *testing.T, url string, args ...string) (status int, stdout, stderr string) {
	t.Helper()
	var out, errs bytes.Buffer
	args = append([]string{"migrate", "--postgres.url", url}, args...)
	return run(t.Context(), args, &out, &errs), out.String(), errs.String()
}

func TestMigrateCommand(t *testing.T) {
	url := migratetest.EmptyDatabase(t)
	steps := []struct {
		name   string
		args   []string
		status int
		stdout string
		stderr string // a part of it
	}{
		{"empty", []string{"status"}, statusDone, "version 0 of 3: 3 pending\n", ""},
		{"empty, for programs", []string{"status", "--output", "json"}, statusDone,
			"{\n  \"version\": 0,\n  \"dirty\": false,\n  \"latest\": 3,\n  \"pending\": [\n    1,\n    2,\n    3\n  ]\n}\n", ""},
		{"nothing to take back", []string{"down", "1"}, statusUsage, "", "0 migrations are applied"},
		{"up", []string{"up"}, statusDone, "version 3: up to date\n", ""},
		{"up again", []string{"up"}, statusDone, "version 3: up to date\n", ""},
		{"no number", []string{"down", "x"}, statusUsage, "", "N must be a whole number, at least 1"},
		{"no argument", []string{"down"}, statusUsage, "", "See 'audittrail migrate down --help'"},
		{"too many", []string{"down", "4"}, statusUsage, "", "3 migrations are applied: 4 can't be taken back"},
		{"unknown version", []string{"force", "7"}, statusUsage, "", "there is no version 7"},
		{"unknown subcommand", []string{"donw"}, statusUsage, "", "donw"},
		{"rows", []string{"down", "3"}, statusFailed, "", "event_keys"},
		{"unchanged by the refusal", []string{"status"}, statusDone, "version 3: up to date\n", ""},
		{"rows, and told so", []string{"down", "3", "--destroy-data"}, statusDone, "version 0 of 3: 3 pending\n", ""},
		{"force", []string{"force", "3"}, statusDone, "version 3: up to date\n", ""},
	}
	for _, step := range steps {
		if step.name == "rows" {
			insertKey(t, url)
		}
		status, stdout, stderr := migrateCommand(t, url, step.args...)
		require.Equal(t, step.status, status, "%s: %s", step.name, stderr)
		require.Equal(t, step.stdout, stdout, step.name)
		require.Contains(t, stderr, step.stderr, step.name)
	}
}

func insertKey(t *testing.T, url string) {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), url)
	require.NoError(t, err)
	defer conn.Close(t.Context()) //nolint:errcheck // the statement has answered
	_, err = conn.Exec(t.Context(), `INSERT INTO event_keys VALUES (gen_random_uuid(), 1, now(), '\x00')`)
	require.NoError(t, err)
}

func TestMigrateNeedsADatabase(t *testing.T) {
	status, _, stderr := migrateCommand(t, "", "status")
	require.Equal(t, statusUsage, status)
	require.Contains(t, stderr, "postgres.url")

	status, _, stderr = migrateCommand(t, "postgres://u:hunter2@127.0.0.1:1/db?sslmode=disable", "up")
	require.Equal(t, statusFailed, status)
	require.NotContains(t, stderr, "hunter2")
}
