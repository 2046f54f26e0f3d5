package cmd

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"audittrail/modules/event"
	"audittrail/modules/ledger"
	"audittrail/modules/migrate/migratetest"
	"audittrail/modules/notary"
	"audittrail/modules/protect/protecttest"
	"audittrail/modules/store"
)

// TestRotationOfAnIdleLog goes the way that `keys rotate --help` tells while nothing comes in: afterwards
// the one checkpoint verifies with either key alone, and a notary whose state file is lost goes on with
// the new key.
func TestRotationOfAnIdleLog(t *testing.T) {
	url, dir := migratetest.Database(t), t.TempDir()
	file := func(name string) string { return filepath.Join(dir, name) }
	origin := "--ledger.origin=" + testOrigin
	keys := func(name, from string, args ...string) {
		t.Helper()
		t.Setenv("AUDITTRAIL_LEDGER_SIGNING_KEY_FILE", from)
		status, _, stderr := invoke(t, append([]string{"keys", origin, "--out", file(name)}, args...)...)
		require.Equal(t, statusDone, status, stderr)
	}
	pool, err := pgxpool.New(t.Context(), url)
	require.NoError(t, err)
	t.Cleanup(pool.Close)
	rows := store.NewLedger(pool, ledger.Events)
	// serve runs the notary until the newest checkpoint is of this size and signed by so many of its keys, and
	// remembered.
	serve := func(name string, size int64, signatures int) {
		t.Helper()
		t.Setenv("AUDITTRAIL_LEDGER_SIGNING_KEY_FILE", file(name))
		ctx, cancel := context.WithCancel(t.Context())
		ended, stderr := make(chan int, 1), &bytes.Buffer{}
		go func() {
			ended <- run(ctx, []string{"serve", "--roles=notary", "--admin.addr=127.0.0.1:0", "--postgres.url=" + url, origin,
				"--notary.state_file=" + file("notary.json"), "--notary.interval=10ms"}, &bytes.Buffer{}, stderr)
		}()
		trusted := parsed(t, file(name))
		ok := func() bool {
			c, _, err := rows.LatestCheckpoint(t.Context())
			if err != nil || c.Size != size {
				return false
			}
			opened, err := ledger.OpenCheckpoint([]byte(c.Note), trusted)
			if err != nil || len(opened.Keys) != signatures {
				return false
			}
			state, err := notary.ReadState(file("notary.json"))
			return err == nil && len(state.Logs) == 1
		}
		require.Eventually(t, ok, time.Minute, 10*time.Millisecond)
		cancel()
		require.Zero(t, <-ended, stderr.String())
	}

	keys("old", "", "generate")
	appendOrders(t, url, 0, 3)
	serve("old", 3, 1)
	keys("both", file("old"), "rotate", "--ledger")
	serve("both", 3, 2)
	keys("new", file("both"), "rotate", "--ledger", "--end")
	require.NoError(t, os.Remove(file("notary.json")))
	serve("new", 3, 1)
	t.Setenv("AUDITTRAIL_NOTARY_STATE_FILE", file("none"))
	for _, name := range []string{"old", "new"} {
		out, errs, status := call(t, "verify", "--database", "--key", public(t, file(name)), "--postgres.url", url)
		require.Equal(t, 0, status, "%s\n%s", errs, out)
		require.Contains(t, out, "INTACT")
	}
	out, errs, status := call(t, "verify", "--database", "--key", public(t, file("new")), "--postgres.url", url, "--notary.state_file", file("notary.json"))
	require.Equal(t, 0, status, "%s\n%s", errs, out)
	appendOrders(t, url, 3, 2)
	serve("new", 5, 1)
}

// public is the verifier key of the events' log, of the first signing key in a file.
func public(t *testing.T, path string) string {
	t.Helper()
	return signingKeys(t, path)[0].VerifierKey(ledger.Events)
}

func signingKeys(t *testing.T, path string) []ledger.SigningKey {
	t.Helper()
	text, err := os.ReadFile(path)
	require.NoError(t, err)
	keys, err := ledger.ParseSigningKeys(string(bytes.TrimSpace(text)), testOrigin)
	require.NoError(t, err)
	return keys
}

// parsed are the verifier keys of the signing keys in a file.
func parsed(t *testing.T, path string) ledger.Keys {
	t.Helper()
	var texts []string
	for _, k := range signingKeys(t, path) {
		texts = append(texts, k.VerifierKey(ledger.Events))
	}
	keys, err := ledger.ParseKeys(texts...)
	require.NoError(t, err)
	return keys
}

// appendOrders stores events as ingest does, from an offset on.
func appendOrders(t *testing.T, url string, from, count int64) {
	t.Helper()
	appendOrdersAt(t, url, from, count, "2024-05-06T07:08:09Z")
}

func appendOrdersAt(t *testing.T, url string, from, count int64, timestamp string) {
	t.Helper()
	pool, err := pgxpool.New(t.Context(), migratetest.AsRole(t, url, "audittrail_ingest"))
	require.NoError(t, err)
	defer pool.Close()
	orders := store.Partition{TopicID: event.TopicID{7}, Topic: "orders"}
	appender := store.NewAppender(store.AppenderOptions{Pool: pool})
	_, err = appender.EnsureOffsets(t.Context(), []store.PartitionStart{{Partition: orders}})
	require.NoError(t, err)
	b := store.Batch{Ranges: []store.Range{{Partition: orders, From: from, To: from + count}}}
	for n := from; n < from+count; n++ {
		decoded, rejected := event.Decode(event.Raw{
			Coordinates: event.Coordinates{TopicID: orders.TopicID, Topic: orders.Topic, Offset: n},
			Value: fmt.Appendf(nil, `{"eventId":"00000000-0000-4000-8000-%012d","eventType":"OrderPlaced","aggregateId":"o","aggregateType":"Order",
				"timestamp":"%s","version":1,"payload":{},"metadata":{"correlationId":"c","userId":"u","source":"shop"}}`, n, timestamp),
		})
		require.Nil(t, rejected)
		valid, rejected := decoded.Validate(event.Rules{MaxDepth: 64, MaxRecordBytes: 1 << 20, MaxFuture: 100 * 365 * 24 * time.Hour}, time.Now())
		require.Nil(t, rejected)
		b.Events = append(b.Events, protecttest.Seal(valid))
	}
	receipt, err := appender.Append(t.Context(), b)
	require.NoError(t, err)
	require.EqualValues(t, count, receipt.Stored)
}
