package cmd

import (
	"context"
	"encoding/base64"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"audittrail/modules/event"
	"audittrail/modules/migrate/migratetest"
	"audittrail/modules/protect"
	"audittrail/modules/protect/protecttest"
	"audittrail/modules/store"
	"audittrail/platform/kek"
)

// TestKeysRotateKEK goes the way that `keys rotate --help` tells.
func TestKeysRotateKEK(t *testing.T) {
	url := migratetest.Database(t)
	dir := t.TempDir()
	kekURL := func(fill string) string {
		return "base64key://" + base64.URLEncoding.EncodeToString([]byte(strings.Repeat(fill, 32)))
	}
	former, present := filepath.Join(dir, "former"), filepath.Join(dir, "present")
	require.NoError(t, os.WriteFile(former, []byte(kekURL("a")+"\n"), 0o600))
	require.NoError(t, os.WriteFile(present, []byte(kekURL("b")+"\n"), 0o600))
	pool, err := pgxpool.New(t.Context(), url)
	require.NoError(t, err)
	t.Cleanup(pool.Close)
	under := func(fill string) *protect.Keyring {
		return protect.NewKeyring(store.NewKeys(pool), func(ctx context.Context) (protect.KEK, error) { return kek.Open(ctx, kekURL(fill)) })
	}
	rules, err := protect.NewRules([]protect.RuleOptions{{EventType: "*", Path: "$.payload.name"}})
	require.NoError(t, err)

	t.Setenv("AUDITTRAIL_POSTGRES_URL", url)
	t.Setenv("AUDITTRAIL_ENCRYPTION_KEK_URL_FILE", present)
	status, _, stderr := invoke(t, "keys", "rotate", "--kek", "--from", former)
	require.Equal(t, statusFailed, status)
	require.Contains(t, stderr, "nothing was sealed yet")
	sealed, err := protect.WithRules(rules, under("a")).Seal(t.Context(), []event.Valid{protecttest.Valid(`{"eventId":"00000000-0000-4000-8000-000000000001",
		"eventType":"A","aggregateId":"a","aggregateType":"T","timestamp":"2026-01-01T00:00:00Z","version":1,"payload":{"name":"ann"},"metadata":{}}`, event.Coordinates{})})
	require.NoError(t, err)

	status, _, stderr = invoke(t, "keys", "rotate", "--kek")
	require.Equal(t, statusUsage, status)
	require.Contains(t, stderr, "--from")
	status, _, stderr = invoke(t, "keys", "rotate", "--kek", "--from", present)
	require.Equal(t, statusFailed, status)
	require.NotContains(t, stderr, "base64key")
	status, stdout, stderr := invoke(t, "keys", "rotate", "--kek", "--from", former)
	require.Equal(t, statusDone, status, stderr)
	require.Contains(t, stdout, "1 keys are wrapped")
	require.NoError(t, under("a").Ready(t.Context()), "processes go on until they are restarted")
	status, _, stderr = invoke(t, "keys", "rotate", "--kek", "--end")
	require.Equal(t, statusDone, status, stderr)
	require.Error(t, under("a").Ready(t.Context()))
	e, _, err := sealed[0].Stored(nil)
	require.NoError(t, err)
	_, err = protect.NewOpener(under("b")).Open(t.Context(), []*event.Event{&e})
	require.NoError(t, err)
	require.JSONEq(t, `{"name":"ann"}`, string(e.Payload))
}
