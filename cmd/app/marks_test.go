package app

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/redis/rueidis"
	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"

	"audittrail/modules/migrate/migratetest"
	"audittrail/platform/cache/cachetest"
	"audittrail/platform/telemetry/otlp/otlptest"
)

const (
	// secretMark is in every sealed value and in every record that is no event, openMark in a value that no rule seals:
	// a place in which even openMark is not found was not searched.
	secretMark = "Vuxkjq7731"
	openMark   = "Openwq9182"

	markRules = `--encryption.rules=[` +
		`{"eventType":"Order*","path":"$.payload.customer.email","subject":"$.payload.customer.id","search":true},` +
		`{"eventType":"Order*","path":"$.payload.customer.address","subject":"$.payload.customer.id"},` +
		`{"eventType":"Order*","path":"$.payload.lines[*].note","subject":"$.payload.customer.id"},` +
		`{"eventType":"Order*","path":"$.payload.lines[*].gifts[*].to"},` +
		`{"eventType":"Order*","path":"$.metadata.userId","subject":"$.payload.customer.id","search":true},` +
		`{"eventType":"Order*","path":"$.metadata.contacts[*].phone"}]`
	markedEvents = 10_000
)

// marked is an order with marks in all of its sealed fields.
func marked(n int) string {
	m := fmt.Sprintf("%s.%d", secretMark, n)
	aggregate := n % 500
	if n < 1200 { // one of them is long enough for snapshots of its state
		aggregate = 0
	}
	return fmt.Sprintf(`{"eventId":"7b1b0c3a-6a5f-4f0e-9b1e-%012d","eventType":"OrderPlaced","aggregateId":"o-%d","aggregateType":"Order",
		"timestamp":"2026-01-02T03:%02d:%02d.%03dZ","version":%d,"payload":{"customer":{"id":"C-%d","email":"%s@example.com","address":{"street":["%s",7],"zip":"%s"}},
		"lines":[{"sku":"a","note":"for %s"},{"sku":"b","gifts":[{"to":"%s"},{"to":null}]}],"open":%q},
		"metadata":{"correlationId":"flow-%d","source":"shop","userId":"u %s","contacts":[{"phone":"+%s"}]}}`,
		n, aggregate, n/60000, n/1000%60, n%1000, n, n%300, m, m, m, m, m, openMark, n/10, m, m)
}

// places are texts, by where they were found.
type places map[string][]byte

// hold checks that no place holds a text in any spelling.
func (p places) hold(t *testing.T, text string) (found []string) {
	t.Helper()
	spellings := [][]byte{[]byte(text), []byte(hex.EncodeToString([]byte(text)))}
	for shift := range 3 { // base64, wherever it begins
		coded := base64.RawStdEncoding.EncodeToString(append(make([]byte, shift), text...))
		spellings = append(spellings, []byte(coded[(shift*8+5)/6:len(coded)-1]))
	}
	for where, content := range p {
		for _, spelling := range spellings {
			if at := bytes.Index(content, spelling); at >= 0 {
				found = append(found, fmt.Sprintf("%s: …%q…", where, content[max(0, at-100):min(len(content), at+60)]))
				break
			}
		}
	}
	return found
}

// files adds all files below a folder.
func (p places) files(t *testing.T, folder string) {
	t.Helper()
	require.NoError(t, filepath.WalkDir(folder, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || !entry.Type().IsRegular() {
			return err
		}
		p[path], err = os.ReadFile(path)
		return err
	}))
}

// redis adds all keys and values.
func (p places) redis(t *testing.T, admin rueidis.Client) {
	t.Helper()
	keys, err := admin.Do(t.Context(), admin.B().Keys().Pattern("*").Build()).AsStrSlice()
	require.NoError(t, err)
	require.NotEmpty(t, keys)
	for _, key := range keys {
		value, err := admin.Do(t.Context(), admin.B().Dump().Key(key).Build()).AsBytes()
		if !rueidis.IsRedisNil(err) { // it has ended meanwhile
			require.NoError(t, err)
		}
		p["redis "+key] = append([]byte(key+" "), value...)
	}
}

// records adds what a topic has: at least so many records.
func (p places) records(t *testing.T, brokers, topic string, least int) {
	t.Helper()
	client, err := kgo.NewClient(kgo.SeedBrokers(strings.Split(brokers, ",")...), kgo.ConsumeTopics(topic), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
	require.NoError(t, err)
	defer client.Close()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	for n := 0; n < least; {
		fetches := client.PollFetches(ctx)
		require.NoError(t, ctx.Err(), "%d of %d records of %s", n, least, topic)
		fetches.EachRecord(func(r *kgo.Record) {
			n++
			p[fmt.Sprint(topic, " ", r.Partition, "/", r.Offset)] = fmt.Appendf(nil, "%s %s %v", r.Key, r.Value, r.Headers)
		})
	}
}

// Sealed values, and records that are no events, are in no table, file, log, metric, trace, topic or cache, whatever is
// done with them.
func TestSealedValuesAreNowhere(t *testing.T) {
	sink := otlptest.New(t)
	sink.Export(t, "grpc")
	server := migratetest.Server(t)
	redis := cachetest.Start(t, "", "--rdbcompression", "no")
	cluster, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.SeedTopics(2, "orders"), kfake.SeedTopics(1, "copy"))
	require.NoError(t, err)
	t.Cleanup(cluster.Close)
	brokers := strings.Join(cluster.ListenAddrs(), ",")
	// A constraint of an operator's: PostgreSQL refuses a row, and says in its log what row.
	server.Execute(`ALTER TABLE events ADD CONSTRAINT refused CHECK (aggregate_id <> 'o-refused')`)
	var log lines
	args := []string{"--log.level=debug", "--postgres.url=" + server.URL(), "--kafka.brokers=" + brokers, "--kafka.topics=orders", kekURL, markRules,
		"--encryption.journal=" + filepath.Join(t.TempDir(), "journal"), "--ingest.max_record_bytes=65536",
		`--replay.targets=[{"type":"kafka","topic":"copy"}]`}
	p := startLogging(t, &log, append(args, "--redis.url=redis://127.0.0.1:"+redis.Port)...)
	p.until("admin", "/readyz", 200, "")
	alone := startLogging(t, &log, append(args, "--roles=api")...) // with a cache of its own
	alone.until("admin", "/readyz", 200, "")

	letters := fillMarked(t, brokers)
	failAppend(t, server, &log, brokers)
	p.until("api", "/v1/events?payload="+url.QueryEscape(fmt.Sprintf(`{"customer":{"email":"%s.%d@example.com"}}`, secretMark, markedEvents)), 200, openMark)
	p.until("api", "/v1/stats/events?interval=hour&groupBy=userId", 200, "items")
	p.until("api", "/v1/ingest/offsets", 200, "deadLettered")
	useMarked(t, p)
	useMarked(t, alone)

	found := places{}
	found.records(t, brokers, "orders.dlq", letters)
	found.redis(t, redis.Admin(t, ""))
	found["metrics"], found["metrics of the other"] = []byte(p.openMetrics()), []byte(alone.openMetrics())
	found["tables"] = []byte(dump(t, server.URL()))
	server.Execute("CHECKPOINT")
	data := dataFolder(t, server.URL())
	require.NoError(t, alone.stop())
	require.NoError(t, p.stop())
	found.files(t, filepath.Dir(data)) // with the server's log
	found["log"], found["what was sent by OTLP"] = []byte(log.String()), []byte(sink.Text())
	require.Empty(t, found.hold(t, secretMark))

	seen := strings.Join(found.hold(t, openMark), "\n")
	for _, place := range []string{"tables: ", "/base/", "/pg_wal/"} {
		require.Contains(t, seen, place)
	}
	require.Contains(t, log.String(), "append failed")
	require.NotEmpty(t, sink.Logs("append failed; the same batch is tried again"))
	require.Contains(t, string(found[filepath.Join(filepath.Dir(data), "postgres.log")]), "o-refused", "the refused row")
}

// fillMarked publishes events, and records that become dead letters, and returns how many of these.
func fillMarked(t *testing.T, brokers string) (letters int) {
	t.Helper()
	var records []*kgo.Record
	for n := range markedEvents {
		records = append(records, &kgo.Record{Topic: "orders", Value: []byte(marked(n)), Partition: int32(n % 2)})
	}
	other := strings.Replace(marked(3), "for "+secretMark, "for another "+secretMark, 1)
	refused := strings.Replace(strings.Replace(marked(markedEvents+5), `"aggregateId":"o-5"`, `"aggregateId":"o-refused"`, 1), "9b1e", "9b1f", 1)
	require.Contains(t, refused, "o-refused")
	for _, bad := range []string{
		marked(1)[:300],
		other,
		refused,
		strings.Replace(marked(2), `"version":2`, `"version":"`+secretMark+`"`, 1),
		strings.Replace(marked(2), `"version":2`, `"version":2,"version":2`, 1),
		strings.Replace(marked(2), `"sku":"a"`, `"sku":"`+strings.Repeat(secretMark+" ", 8000)+`"`, 1),
		`"` + secretMark + "\xff",
	} {
		letters++
		records = append(records, &kgo.Record{Topic: "orders", Value: []byte(bad), Partition: 1})
	}
	produceTraced(t, brokers, records...)
	return letters
}

// failAppend has a batch fail and be logged, which is stored later.
func failAppend(t *testing.T, server *migratetest.OwnServer, log *lines, brokers string) {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), server.URL())
	require.NoError(t, err)
	defer func() { _ = conn.Close(context.Background()) }()
	tx, err := conn.Begin(t.Context())
	require.NoError(t, err)
	_, err = tx.Exec(t.Context(), `LOCK TABLE events IN ACCESS EXCLUSIVE MODE`)
	require.NoError(t, err)
	produceTraced(t, brokers, &kgo.Record{Topic: "orders", Value: []byte(marked(markedEvents))})
	require.Eventually(t, func() bool { return strings.Contains(log.String(), "append failed") }, patience, 20*time.Millisecond)
	require.NoError(t, tx.Rollback(t.Context()))
}

// useMarked reads, searches and sends marked values by all paths, as who may see them and as who may not.
func useMarked(t *testing.T, p *program) {
	t.Helper()
	email := fmt.Sprintf(`{"customer":{"email":"%s.7@example.com"}}`, secretMark)
	sought, deep := url.QueryEscape(email), url.QueryEscape(`{"lines":[{"note":"for `+secretMark+`.7"}]}`)
	user := url.QueryEscape("u " + secretMark + ".7")
	one := "/v1/events/7b1b0c3a-6a5f-4f0e-9b1e-000000000007"
	p.until("api", one+"/proof", 200, "entries") // a checkpoint covers it
	paths := []string{
		one, one + "/proof", "/v1/events?limit=100", "/v1/events?aggregateId=o-7", "/v1/aggregates/Order/o-7/events", "/v1/aggregates/Order/o-7/state",
		"/v1/aggregates/Order/o-0/state", "/v1/aggregates/Order/o-7/diff?from=7&to=1507", "/v1/traces/flow-0", "/v1/feed?after=10",
		"/v1/events/export?format=ndjson&aggregateId=o-7", "/v1/events/export?format=csv&aggregateId=o-7", "/v1/dead-letters", "/v1/access-log",
	}
	for _, query := range []string{"payload=" + sought, "payload=" + deep, "userId=" + user} {
		paths = append(paths, "/v1/events?"+query, "/v1/events/export?format=ndjson&"+query, "/v1/events?count=exact&"+query)
	}
	for _, roles := range [][]string{{"admin"}, {"viewer", "analyst"}, {"auditor"}} {
		p.token = p.issuer.Token(map[string]any{"roles": roles})
		sees := roles[0] != "viewer"
		for _, path := range paths {
			status, body := p.get("api", path)
			if status != 200 {
				require.Contains(t, []int{400, 403, 422}, status, "%v: %s: %s", roles, path, body)
			}
			if !sees {
				require.NotContains(t, body, secretMark, "%v: %s", roles, path)
			}
		}
		_, body := p.get("api", one)
		require.Equal(t, sees, strings.Contains(body, secretMark), body)
		_, body = p.get("api", "/v1/events?payload="+sought)
		require.Equal(t, sees, strings.Contains(body, secretMark), body)
		_, body = p.get("api", "/v1/events?userId="+user)
		require.Equal(t, sees, strings.Contains(body, secretMark), body)
		for _, wrong := range []string{"/v1/events?payload=" + url.QueryEscape(email[:20]), "/v1/events?" + secretMark + "=1"} {
			status, body := p.get("api", wrong)
			require.Equal(t, 400, status, "%s: %s", wrong, body)
		}
	}
	p.token = p.issuer.Token(map[string]any{"roles": []string{"admin"}})
	for path, body := range map[string]string{
		"/v1/replays":              `{"target":{"type":"kafka","topic":"copy"},"reason":"test","filter":{"payload":` + email + `}}`,
		"/v1/subjects/shred":       `{"subject":"` + secretMark + `","reason":"` + secretMark + `"}`,
		"/v1/dead-letters/redrive": `{"ids":[1],"reason":"test","value":"` + base64.StdEncoding.EncodeToString([]byte(marked(markedEvents+100))) + `"}`,
	} {
		status, answer := p.post(path, body)
		require.Contains(t, []int{202, 400, 409, 422}, status, "%s: %s", path, answer)
	}
	p.until("api", "/v1/dead-letters/1", 200, "redriven")
}

// dataFolder is where a server has its data.
func dataFolder(t *testing.T, url string) (folder string) {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), url)
	require.NoError(t, err)
	defer func() { _ = conn.Close(context.Background()) }()
	require.NoError(t, conn.QueryRow(t.Context(), "SHOW data_directory").Scan(&folder))
	return folder
}
