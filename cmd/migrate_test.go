package cmd

import (
	"bytes"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"audittrail/migrations"
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
	files, err := fs.Glob(migrations.Files, "*.up.sql")
	require.NoError(t, err)
	latest := len(files)
	all, pending := strconv.Itoa(latest), []string{}
	for n := range latest {
		pending = append(pending, fmt.Sprintf("    %d", n+1))
	}
	upToDate, empty := fmt.Sprintf("version %d: up to date\n", latest), fmt.Sprintf("version 0 of %d: %d pending\n", latest, latest)
	steps := []struct {
		name   string
		args   []string
		status int
		stdout string
		stderr string // a part of it
	}{
		{"empty", []string{"status"}, statusDone, empty, ""},
		{"empty, for programs", []string{"status", "--output", "json"}, statusDone,
			fmt.Sprintf("{\n  \"version\": 0,\n  \"dirty\": false,\n  \"latest\": %d,\n  \"pending\": [\n%s\n  ]\n}\n", latest, strings.Join(pending, ",\n")), ""},
		{"nothing to take back", []string{"down", "1"}, statusUsage, "", "0 migrations are applied"},
		{"up", []string{"up"}, statusDone, upToDate, ""},
		{"up again", []string{"up"}, statusDone, upToDate, ""},
		{"no number", []string{"down", "x"}, statusUsage, "", "N must be a whole number, at least 1"},
		{"no argument", []string{"down"}, statusUsage, "", "See 'audittrail migrate down --help'"},
		{"too many", []string{"down", strconv.Itoa(latest + 1)}, statusUsage, "", fmt.Sprintf("%d migrations are applied: %d can't be taken back", latest, latest+1)},
		{"unknown version", []string{"force", "700"}, statusUsage, "", "there is no version 700"},
		{"unknown subcommand", []string{"donw"}, statusUsage, "", "donw"},
		{"rows", []string{"down", all}, statusFailed, "", "event_keys"},
		{"unchanged by the refusal", []string{"status"}, statusDone, upToDate, ""},
		{"rows, and told so", []string{"down", all, "--destroy-data"}, statusDone, empty, ""},
		{"force", []string{"force", all}, statusDone, upToDate, ""},
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

// As the chart's Job does it: both databases by one command, the URLs in files.
func TestMigrateUpAlsoMigratesTheKeys(t *testing.T) {
	keys := migratetest.EmptyDatabase(t)
	file := filepath.Join(t.TempDir(), "encryption.keys_url")
	require.NoError(t, os.WriteFile(file, []byte(keys+"\n"), 0o600))
	t.Setenv("AUDITTRAIL_ENCRYPTION_KEYS_URL_FILE", file)
	status, _, stderr := migrateCommand(t, migratetest.EmptyDatabase(t), "up")
	require.Equal(t, statusDone, status, stderr)
	status, stdout, stderr := migrateCommand(t, keys, "status")
	require.Equal(t, statusDone, status, stderr)
	require.Contains(t, stdout, "up to date")
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
