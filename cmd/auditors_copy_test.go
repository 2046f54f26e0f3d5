package cmd

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"audittrail/modules/migrate/migratetest"
	"audittrail/modules/store"
)

// TestAnAuditorsCopy runs what docs/OPERATIONS.md tells an auditor to do, on a store that was installed a year
// before, whose partitions are others than a new database's, and which holds what is not ours, too.
func TestAnAuditorsCopy(t *testing.T) {
	for _, program := range []string{"psql", "pg_dump", "bash"} {
		if _, err := exec.LookPath(program); err != nil && os.Getenv("CI") == "" {
			t.Skip("wants psql, pg_dump and bash: ", err)
		}
	}
	guide, err := os.ReadFile(filepath.Join("..", "docs", "OPERATIONS.md"))
	require.NoError(t, err)
	script := regexp.MustCompile("(?s)```sh\n(set -euo pipefail.*?)```").FindSubmatch(guide)
	require.NotNil(t, script)

	stored, own, dir := migratetest.Database(t), migratetest.EmptyDatabase(t), t.TempDir()
	signing, key := verifierKey(t)
	owner, err := pgx.Connect(t.Context(), stored)
	require.NoError(t, err)
	defer owner.Close(t.Context()) //nolint:errcheck // the test is over
	for _, statement := range []string{
		`SET session_replication_role = replica`,
		`ALTER TABLE installation DISABLE TRIGGER ALL`,
		`DROP TABLE events_2024`,
		`UPDATE installation SET installed_at = '2024-06-01'`,
		`SELECT ensure_partition('events', month::date) FROM generate_series(timestamptz '2024-01-01', '2024-12-01', '1 month') AS month`,
		`ALTER TABLE installation ENABLE ALWAYS TRIGGER refuse_change`,
		`CREATE TABLE somebody_elses (n int)`,
		`SELECT ensure_partition('events', '2061-02-01')`,
		`SELECT ensure_partition('access_log', '2024-07-01')`,
		`DO $$ BEGIN EXECUTE format('ALTER DATABASE %I SET timezone = %L', current_database(), 'Asia/Tokyo'); END $$`,
	} {
		_, err := owner.Exec(t.Context(), statement)
		require.NoError(t, err, statement)
	}
	appendOrders(t, stored, 0, 10)
	appendOrdersAt(t, stored, 10, 1, "2061-02-28T23:30:00Z") // far ahead, and in Tokyo another month
	api, err := pgxpool.New(t.Context(), migratetest.AsRole(t, stored, "audittrail_api"))
	require.NoError(t, err)
	defer api.Close()
	at := time.Date(2024, 7, 1, 0, 0, 0, 0, time.UTC)
	require.NoError(t, store.NewAccessLog(api).Append(t.Context(), []store.AccessEntry{{Time: at, Canonical: []byte(`{"time":"2024-07-01T00:00:00.000000Z"}`)}}))
	sign(t, stored, signing)
	require.NoError(t, os.WriteFile(filepath.Join(dir, "verifier-keys.txt"), []byte(key), 0o600))
	require.NoError(t, owner.QueryRow(t.Context(), `SELECT note FROM ledger_checkpoints`).Scan(&key))
	require.NoError(t, os.WriteFile(filepath.Join(dir, "kept-elsewhere.txt"), []byte(key), 0o600))
	// The program is this test's binary; arguments come one a line.
	shim := fmt.Sprintf("#!/bin/bash\nprintf -v %s '%%s\\n' \"$@\"\nexport %[1]s=${%[1]s%%$'\\n'}\nexec %s -test.run='^TestChild$' -test.timeout=120s\n", childArgs, os.Args[0])
	require.NoError(t, os.WriteFile(filepath.Join(dir, "audittrail"), []byte(shim), 0o755))

	c := exec.CommandContext(t.Context(), "bash", "-c", string(script[1]))
	c.Dir = dir
	c.Env = append(os.Environ(), "STORE="+stored, "OWN="+own, "PATH="+dir+string(os.PathListSeparator)+os.Getenv("PATH"))
	out, err := c.CombinedOutput()
	require.NoError(t, err, "%s", out)
	require.Contains(t, string(out), "INTACT")
	require.Contains(t, string(out), "11 events")
	require.Contains(t, string(out), "Also compared with what was kept elsewhere: kept-elsewhere.txt")
}
