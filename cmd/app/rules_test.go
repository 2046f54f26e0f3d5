package app

import (
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kfake"

	"audittrail/modules/migrate/migratetest"
)

// Rules come, change and go between starts. Records that come once more are duplicates each time, whatever their fields
// were when they were stored, and another content under a known id is a conflict as long as there are keys to tell.
func TestRulesChangeBetweenStarts(t *testing.T) {
	t.Parallel()
	database, brokers := migratetest.Database(t), broker(t)
	const (
		other = `--encryption.rules=[{"eventType":"Customer*","path":"$.payload.name","subject":"$.metadata.correlationId"}]`
		less  = `--encryption.rules=[{"eventType":"Customer*","path":"$.metadata.userId"}]`
	)
	forged := func(n int) string { return strings.Replace(customer(n, 1), "mark-", "forged-", 1) }
	var (
		offsets, duplicates, conflicts int
		keyed                          []bool // by the event's number
	)
	for n, c := range []struct {
		name string
		args []string
		seal bool
	}{
		{"no keys", nil, false}, {"no rules", []string{kekURL}, false}, {"rules", []string{kekURL, eraseRules}, true},
		{"another subject", []string{kekURL, other}, true}, {"another field", []string{kekURL, less}, true},
		{"rules again", []string{kekURL, eraseRules}, true}, {"no rules any more", []string{kekURL}, false}, {"no keys any more", nil, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			var records []string
			for old := range n {
				records = append(records, customer(old, 1), forged(old))
				duplicates++
				if c.args == nil && keyed[old] { // nobody can tell
					duplicates++
				} else {
					conflicts++
				}
			}
			keyed = append(keyed, c.seal)
			records = append(records, customer(n, 1), customer(n, 1))
			duplicates++
			offsets += len(records)
			p := start(t, append([]string{"--roles=ingest,api", "--postgres.url=" + database, "--kafka.brokers=" + brokers, "--kafka.topics=orders"}, c.args...)...)
			produceAt(t, brokers, time.Now(), records...)
			require.Eventually(t, func() bool { return counted(t, database, `SELECT sum(next_offset) FROM ingest_offsets`) == offsets }, patience, 20*time.Millisecond)
			require.NoError(t, p.stop())
			require.Equal(t, n+1, counted(t, database, `SELECT count(*) FROM events`))
			require.Equal(t, duplicates, counted(t, database, `SELECT sum(duplicates) FROM ingest_ranges`))
			require.Equal(t, conflicts, counted(t, database, `SELECT count(*) FROM dead_letters WHERE reason = 'event_id_conflict'`))
			sealed := 0
			for _, is := range keyed {
				if is {
					sealed++
				}
			}
			require.Equal(t, sealed, counted(t, database, `SELECT count(*) FROM events WHERE sealed IS NOT NULL`))
		})
	}
	p := start(t, "--roles=api", "--postgres.url="+database, kekURL)
	p.until("admin", "/readyz", 200, "")
	for n := range keyed {
		_, body := p.get("api", fmt.Sprintf("/v1/aggregates/Account/a-%d/events", n))
		require.Contains(t, body, fmt.Sprintf(`"name":"mark-%d."`, n), "what was sealed opens by its key alone, without a rule")
		require.Contains(t, body, fmt.Sprintf(`"userId":"user-%d."`, n))
	}
}

// The whole program sends sealed values open to a target that may have them, and to no other.
func TestAReplayOfSealedValues(t *testing.T) {
	t.Parallel()
	cluster, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.SeedTopics(1, "orders", "open", "closed"))
	require.NoError(t, err)
	t.Cleanup(cluster.Close)
	brokers := strings.Join(cluster.ListenAddrs(), ",")
	args := []string{"--postgres.url=" + migratetest.Database(t), "--kafka.brokers=" + brokers, "--kafka.topics=orders", kekURL, eraseRules,
		"--encryption.journal=" + filepath.Join(t.TempDir(), "journal"),
		`--replay.targets=[{"type":"kafka","topic":"open","pii":true},{"type":"kafka","topic":"closed"}]`}
	p := start(t, append(args, "--roles=ingest,api,maintain,notary")...)
	worker := start(t, append(args, "--roles=replay")...) // with a keyring of its own
	p.until("admin", "/readyz", 200, "")
	worker.until("admin", "/readyz", 200, "")
	produceAt(t, brokers, time.Now().Add(-time.Hour), customer(1, 1), customer(2, 1), customer(3, 1))
	p.until("api", "/v1/aggregates/Account/a-3/events", 200, "mark-3.")
	p.shred("person-2")

	status, body := p.post("/v1/replays", `{"target":{"type":"kafka","topic":"closed"},"reason":"test"}`)
	require.Equal(t, 422, status, body)
	require.Contains(t, body, "sealed_values")
	for topic, more := range map[string]string{"open": "", "closed": `,"sealed":"placeholder"`} {
		status, body = p.post("/v1/replays", `{"target":{"type":"kafka","topic":"`+topic+`"},"reason":"test"`+more+`}`)
		require.Equal(t, 201, status, body)
	}
	sent := places{}
	sent.records(t, brokers, "open", 3)
	sent.records(t, brokers, "closed", 3)
	names := func(topic string) (found []string) {
		for n := range 3 {
			text := string(sent[fmt.Sprint(topic, " 0/", n)])
			_, text, _ = strings.Cut(text, `"name":`)
			text, _, _ = strings.Cut(text, "}")
			found = append(found, text)
		}
		slices.Sort(found)
		return found
	}
	require.Equal(t, []string{`"mark-1."`, `"mark-3."`, `{"$erased":true`}, names("open"))
	require.Equal(t, []string{`{"$erased":true`, `{"$sealed":true`, `{"$sealed":true`}, names("closed"))
	require.NoError(t, worker.stop())
	require.NoError(t, p.stop())
}
