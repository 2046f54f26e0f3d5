package app

import (
	"bytes"
	"context"
	"encoding/base64"
	"log/slog"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"audittrail/modules/migrate"
	"audittrail/modules/migrate/migratetest"
)

func TestIdentifiersAreNamed(t *testing.T) {
	rules := `--encryption.rules=[{"eventType":"Order*","path":"$.payload.email"},{"eventType":"Order*","path":"$.payload.name"},
		{"eventType":"User*","path":"$.payload.name","subject":"$.payload.id"}]`
	c := complete(t, rules, "--encryption.kek_url=base64key://")
	require.Len(t, c.Identifiers(), 1)
	require.Contains(t, c.Identifiers()[0], "aggregateId of events of type Order*")
	var log bytes.Buffer
	warnIdentifiers(t.Context(), c, slog.New(slog.NewJSONHandler(&log, nil)))
	require.Equal(t, 1, strings.Count(log.String(), "\n"), log.String())
}

// The database of keys has a schema too, which `migrate up` brings up to date.
func TestAnOutdatedSchemaOfKeysIsWaitedFor(t *testing.T) {
	t.Parallel()
	keys := migratetest.EmptyDatabase(t)
	kek := "base64key://" + base64.URLEncoding.EncodeToString(bytes.Repeat([]byte{1}, 32))
	p := start(t, "--roles=api", "--postgres.url="+migratetest.Database(t), "--encryption.kek_url="+kek, "--encryption.keys_url="+keys)
	p.until("admin", "/readyz", 503, "encryption.keys_url: the schema is at version 0")
	require.NoError(t, migrate.Up(context.Background(), migrate.Options{URL: keys}))
	p.until("admin", "/readyz", 200, "")
	require.NoError(t, p.stop())
}
