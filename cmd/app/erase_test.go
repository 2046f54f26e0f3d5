package app

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kgo"

	"audittrail/modules/evidence"
	"audittrail/modules/ledger"
	"audittrail/modules/migrate/migratetest"
	"audittrail/modules/verify"
)

const (
	kekURL     = "--encryption.kek_url=base64key://smGbjm71Nxd1Ig5FS0wj9SlbzAIrnolCz9bQQ6uAhl4="
	eraseRules = `--encryption.rules=[{"eventType":"Customer*","path":"$.payload.name","subject":"$.payload.customer","search":true},` +
		`{"eventType":"Customer*","path":"$.metadata.userId","subject":"$.payload.customer"}]`
	subjects = 110
)

// customer is a record about a person.
func customer(n, version int) string {
	return fmt.Sprintf(`{"eventId":"7b1b0c3a-6a5f-4f0e-%04d-2f5d1c9a%04d","eventType":"CustomerChanged","aggregateId":"a-%d","aggregateType":"Account",
		"timestamp":"2026-01-02T03:04:%02dZ","version":%d,"payload":{"customer":"person-%d","name":"mark-%d."},"metadata":{"userId":"user-%d.","correlationId":"flow-%d"}}`,
		version, n, n, version, version, n, n, n, n)
}

func produceAt(t *testing.T, brokers string, at time.Time, values ...string) {
	t.Helper()
	client, err := kgo.NewClient(kgo.SeedBrokers(strings.Split(brokers, ",")...), kgo.DefaultProduceTopic("orders"))
	require.NoError(t, err)
	defer client.Close()
	for _, v := range values {
		require.NoError(t, client.ProduceSync(context.Background(), &kgo.Record{Value: []byte(v), Timestamp: at}).FirstErr())
	}
}

// post sends a body, and gives the status and the answer.
func (p *program) post(path, body string) (int, string) {
	p.t.Helper()
	req, err := http.NewRequestWithContext(context.Background(), http.MethodPost, "http://"+p.addrs["api"]+path, strings.NewReader(body))
	require.NoError(p.t, err)
	req.Header.Set("Authorization", "Bearer "+p.token)
	req.Header.Set("Content-Type", "application/json")
	req.Close = true
	res, err := http.DefaultTransport.RoundTrip(req)
	require.NoError(p.t, err)
	defer func() { _ = res.Body.Close() }()
	text, err := io.ReadAll(res.Body)
	require.NoError(p.t, err)
	return res.StatusCode, string(text)
}

// shred erases subjects at once and waits until that is done, with its certificates.
func (p *program) shred(subjects ...string) []map[string]any {
	p.t.Helper()
	made, reports := make([]struct{ ID, State string }, len(subjects)), make([]map[string]any, len(subjects))
	for i, subject := range subjects {
		status, body := p.post("/v1/subjects/shred", `{"subject":"`+subject+`","reason":"DPO-118"}`)
		require.Equal(p.t, 202, status, body)
		require.NoError(p.t, json.Unmarshal([]byte(body), &made[i]))
		require.Equal(p.t, "requested", made[i].State)
	}
	for i := range made {
		require.NoError(p.t, json.Unmarshal([]byte(p.until("api", "/v1/subjects/shred/"+made[i].ID, 200, `"certificate":{"log"`)), &reports[i]))
	}
	return reports
}

// paths are all that read events of a customer.
func (p *program) paths(n int) []string {
	id := fmt.Sprintf("7b1b0c3a-6a5f-4f0e-0001-2f5d1c9a%04d", n)
	return []string{
		fmt.Sprintf("/v1/events?aggregateId=a-%d", n), "/v1/events/" + id, fmt.Sprintf("/v1/aggregates/Account/a-%d/events", n),
		fmt.Sprintf("/v1/aggregates/Account/a-%d/state", n), fmt.Sprintf("/v1/aggregates/Account/a-%d/diff?from=0&to=2", n),
		fmt.Sprintf("/v1/traces/flow-%d", n),
	}
}

// all reads everything by the paths that read many events.
func (p *program) all(t *testing.T) string {
	t.Helper()
	var text strings.Builder
	for _, path := range []string{"/v1/events?limit=1000", "/v1/feed?limit=1000", "/v1/events/export?format=ndjson", "/v1/events/export?format=csv", "/v1/dead-letters?limit=1000"} {
		status, body := p.get("api", path)
		require.Equal(t, 200, status, "%s: %s", path, body)
		_, _ = text.WriteString(body)
	}
	return text.String()
}

// dump is what all tables of a database hold.
func dump(t *testing.T, url string) string {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), url)
	require.NoError(t, err)
	defer func() { _ = conn.Close(context.Background()) }()
	rows, err := conn.Query(t.Context(), `SELECT c.oid::regclass::text FROM pg_class c WHERE relnamespace = 'public'::regnamespace AND relkind = 'r'`)
	require.NoError(t, err)
	tables, err := pgx.CollectRows(rows, pgx.RowTo[string])
	require.NoError(t, err)
	var out bytes.Buffer
	for _, table := range tables {
		_, err := conn.PgConn().CopyTo(t.Context(), &out, "COPY "+table+" TO STDOUT")
		require.NoError(t, err)
	}
	return out.String()
}

// Two of many subjects are erased: by every path that reads, in another process and after a restart; all proofs hold.
func TestErasingASubject(t *testing.T) {
	t.Parallel()
	for name, apart := range map[string]bool{"one database": false, "keys apart": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			erasing(t, apart)
		})
	}
}

func erasing(t *testing.T, apart bool) {
	database, keys, brokers := migratetest.Database(t), "", broker(t)
	journal := filepath.Join(t.TempDir(), "erasures.journal")
	args := []string{"--postgres.url=" + database, "--kafka.brokers=" + brokers, "--kafka.topics=orders", kekURL, eraseRules, "--encryption.journal=" + journal}
	if apart {
		keys = migratetest.Database(t)
		args = append(args, "--encryption.keys_url="+keys)
	}
	var log lines
	p := startLogging(t, &log, append(args, "--roles=ingest,api,replay,maintain,notary")...)
	other := start(t, append(args, "--roles=api")...)
	p.until("admin", "/readyz", 200, "")
	other.until("admin", "/readyz", 200, "")

	old := time.Now().Add(-time.Hour)
	var first []string
	for n := range subjects {
		first = append(first, customer(n, 1), customer(n, 2))
	}
	produceAt(t, brokers, old, first...)
	last := fmt.Sprintf("mark-%d.", subjects-1)
	for _, process := range []*program{p, other} {
		process.until("api", fmt.Sprintf("/v1/aggregates/Account/a-%d/events", subjects-1), 200, `"version":2`)
		require.Contains(t, process.all(t), last)
		require.Contains(t, process.all(t), "mark-7.") // and its key is in memory
	}

	status, body := p.post("/v1/subjects/shred", `{"subject":"person-7","reason":"DPO-118","dryRun":true}`)
	require.Equal(t, 200, status, body)
	require.Contains(t, body, `"events":2`)
	require.Contains(t, p.all(t), "mark-7.", "a preview changes nothing")
	status, body = p.post("/v1/subjects/shred", `{"subject":"person-7","reason":"person-7 asked"}`)
	require.Equal(t, 400, status, body)

	begun := time.Now()
	reports := p.shred("person-7", "person-8")
	report := reports[0]
	require.Less(t, time.Since(begun), time.Minute)
	require.EqualValues(t, 2, report["events"])
	require.EqualValues(t, 2, report["digests"])
	require.EqualValues(t, 2, report["tokens"])
	require.Len(t, report["keys"], 1)
	require.Equal(t, true, report["vacuumed"])
	require.Nil(t, report["earlierAt"])
	require.Equal(t, []any{"orders"}, report["beyond"].(map[string]any)["topics"])

	gone := func(t *testing.T, processes ...*program) {
		t.Helper()
		for _, process := range processes {
			text := process.all(t)
			require.Contains(t, text, `$erased`)
			for n := range subjects {
				isErased := n == 7 || n == 8
				require.Equal(t, !isErased, strings.Contains(text, fmt.Sprintf("mark-%d.", n)), n)
				require.Equal(t, !isErased, strings.Contains(text, fmt.Sprintf("user-%d.", n)), n)
			}
			for _, path := range process.paths(7) {
				status, body := process.get("api", path)
				require.Equal(t, 200, status, "%s: %s", path, body)
				require.NotContains(t, body, "mark-7.", path)
				require.Contains(t, body, `{"$erased":true}`, path)
			}
			process.token = process.issuer.Token(map[string]any{"roles": []string{"viewer"}})
			_, body := process.get("api", process.paths(7)[1])
			require.Contains(t, body, `{"$erased":true}`, "also for those who may not see values")
			_, body = process.get("api", process.paths(9)[1])
			require.Contains(t, body, `{"$sealed":true}`)
			process.token = process.issuer.Token(nil)
		}
	}
	gone(t, p, other)
	proofs(t, p, database, report)

	// Old records come late: one that is new here, and one that was stored before. New ones have another key.
	produceAt(t, brokers, old, customer(7, 3), customer(7, 1))
	produceAt(t, brokers, time.Now().Add(time.Minute), strings.ReplaceAll(customer(7, 4), "mark-7.", "mark-seven"))
	for _, late := range []string{`"version":3`, "mark-seven"} { // of two partitions, perhaps
		p.until("api", "/v1/aggregates/Account/a-7/events", 200, late)
	}
	_, body = other.get("api", "/v1/aggregates/Account/a-7/events")
	require.NotContains(t, body, "mark-7.")
	require.Equal(t, 3, strings.Count(body, `"name":{"$erased":true}`), body)
	require.Contains(t, body, "mark-seven")

	repeated := p.shred("person-7", "person-8")
	again, none := repeated[0], repeated[1]
	require.Equal(t, report["erasedAt"], again["earlierAt"], "it says so")
	require.EqualValues(t, 1, again["events"])
	_, body = other.get("api", "/v1/aggregates/Account/a-7/events")
	require.NotContains(t, body, "mark-seven")
	require.Equal(t, reports[1]["erasedAt"], none["earlierAt"])
	require.Empty(t, none["keys"])

	require.NoError(t, other.stop())
	require.NoError(t, p.stop())
	written, err := os.ReadFile(journal)
	require.NoError(t, err)
	everything := dump(t, database) + log.String() + string(written)
	if apart {
		everything += dump(t, keys)
	}
	for _, word := range []string{"person-7 ", `"person-7"`, "person-7\t", "mark-7.", "user-7."} {
		if word == `"person-7"` { // the subject's own place in the payload is no secret: identifiers must be opaque
			require.Equal(t, 4, strings.Count(everything, word))
			continue
		}
		require.NotContains(t, everything, word)
	}

	p = start(t, append(args, "--roles=api,maintain")...)
	p.until("admin", "/readyz", 200, "")
	gone(t, p)
	require.NoError(t, p.stop())
}

// proofs checks that bundles, the certificate and the whole database verify.
func proofs(t *testing.T, p *program, database string, report map[string]any) {
	t.Helper()
	keys, err := ledger.ParseKeys(signingKey(t, 1).VerifierKey(ledger.Events), signingKey(t, 1).VerifierKey(ledger.Access))
	require.NoError(t, err)
	bundle := p.until("api", p.paths(7)[1]+"/proof", 200, "entries")
	require.Contains(t, bundle, report["keys"].([]any)[0], "bundles have the stored form, which names the destroyed key")
	position := int(report["certificate"].(map[string]any)["position"].(float64))
	certificate := p.until("api", fmt.Sprintf("/v1/access-log/%d/proof", position), 200, "entries")
	require.Contains(t, certificate, `"phase":"done"`)
	require.Contains(t, certificate, report["keys"].([]any)[0])
	require.Contains(t, certificate, `"subject":"`+report["subject"].(string)+`"`)
	for _, text := range []string{bundle, certificate} {
		found, err := evidence.Verify(strings.NewReader(text), keys, func(evidence.Entry) {})
		require.NoError(t, err)
		require.Equal(t, []int64{1, 1}, []int64{found.Entries, found.Proven})
	}
	_, list := p.get("api", "/v1/access-log?route=/v1/subjects/shred&limit=1000")
	require.Contains(t, list, `"phase":"requested"`)
	checked, err := verify.Run(t.Context(), verify.Options{Keys: keys, Connect: func(ctx context.Context) (*pgx.Conn, error) {
		return pgx.Connect(ctx, migratetest.AsRole(t, database, "audittrail_maintain"))
	}})
	require.NoError(t, err)
	require.Empty(t, checked.Findings)
}
