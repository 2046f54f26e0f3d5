package app

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"os"
	"path"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"audittrail/modules/migrate/migratetest"
	"audittrail/platform/longtest"
)

// vault is a Vault with a transit engine whose keys can be had, or not.
type vault struct {
	server *httptest.Server
	mu     sync.Mutex
	moods  map[string]string // by the key's name; "": it answers
	over   chan struct{}
}

// theVault is the one Vault of this process, since only the environment says where it is.
var theVault *vault

// newVault starts a Vault, and tells the environment where it is.
func newVault() *vault {
	v := &vault{moods: map[string]string{}, over: make(chan struct{})}
	v.server = httptest.NewServer(v)
	for name, value := range map[string]string{"VAULT_SERVER_URL": v.server.URL, "VAULT_SERVER_TOKEN": "s.token"} {
		if err := os.Setenv(name, value); err != nil {
			panic(err)
		}
	}
	return v
}

func (v *vault) close() {
	close(v.over) // Close waits for the requests
	v.server.Close()
}

func (v *vault) set(key, mood string) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.moods[key] = mood
}

// ServeHTTP answers /v1/transit/encrypt/KEY and decrypt. Encrypting mirrors bits.
func (v *vault) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	folder, key := path.Split(r.URL.Path)
	v.mu.Lock()
	mood := v.moods[key]
	v.mu.Unlock()
	switch mood {
	case "away":
		panic(http.ErrAbortHandler) // cuts the connection
	case "refusing":
		http.Error(w, `{"errors":["permission denied"]}`, http.StatusForbidden)
		return
	case "hanging":
		select {
		case <-r.Context().Done():
		case <-v.over:
		}
		return
	case "slow":
		select {
		case <-time.After(3 * time.Second):
		case <-v.over:
		}
	}
	var in struct{ Plaintext, Ciphertext string }
	if json.NewDecoder(r.Body).Decode(&in) != nil || r.Header.Get("X-Vault-Token") != "s.token" {
		http.Error(w, `{"errors":["bad request"]}`, http.StatusBadRequest)
		return
	}
	coded := strings.TrimPrefix(in.Ciphertext, "vault:v1:") + in.Plaintext
	text, err := base64.StdEncoding.DecodeString(coded)
	if err != nil {
		http.Error(w, `{"errors":["bad request"]}`, http.StatusBadRequest)
		return
	}
	for i := range text {
		text[i] = ^text[i]
	}
	out := map[string]string{"plaintext": base64.StdEncoding.EncodeToString(text)}
	if strings.HasSuffix(folder, "/encrypt/") {
		out = map[string]string{"ciphertext": "vault:v1:" + out["plaintext"]}
	}
	_ = json.NewEncoder(w).Encode(map[string]any{"data": out})
}

// While the key service can't be had, ingest stores nothing, sealed or not, and says why; the API answers what needs no
// key. Once it can be had, all is stored, and it may go away again.
func TestTheKeyServiceIsWaitedFor(t *testing.T) {
	t.Parallel()
	v := theVault
	type trouble struct {
		mood  string
		first bool // there is no key yet
	}
	all := []trouble{{"hanging", false}, {"refusing", true}, {"away", false}, {"slow", true}}
	for _, c := range longtest.Choose(t, all[:1], all) {
		t.Run(c.mood, func(t *testing.T) {
			t.Parallel()
			database, brokers := migratetest.Database(t), broker(t)
			args := []string{"--postgres.url=" + database, "--kafka.brokers=" + brokers, "--kafka.topics=orders", "--roles=ingest,api",
				"--encryption.kek_url=hashivault://" + c.mood, eraseRules}
			stored := 0
			if !c.first {
				p := start(t, args...)
				p.until("admin", "/readyz", 200, "")
				produceAt(t, brokers, time.Now(), customer(100, 1))
				p.until("api", "/v1/events?aggregateId=a-100", 200, "mark-100.")
				require.NoError(t, p.stop())
				stored = 1
			}
			v.set(c.mood, c.mood)
			var records []string
			for n := range 20 {
				records = append(records, customer(n, 1))
			}
			produceAt(t, brokers, time.Now(), append(records, "mark-0. is no event", customer(0, 1))...)
			var log lines
			p := startLogging(t, &log, args...)
			if c.mood != "slow" {
				keysAway(t, p, database, stored)
				v.set(c.mood, "")
			}
			p.until("api", "/v1/events?aggregateId=a-19", 200, "mark-19.")
			p.until("api", "/v1/dead-letters", 200, "malformed_json")
			require.Eventually(t, func() bool { return counted(t, database, `SELECT sum(next_offset) FROM ingest_offsets`) == stored+22 }, patience, 20*time.Millisecond)
			p.until("admin", "/readyz", 200, "")
			require.Zero(t, p.metric(`audittrail_keys_unavailable{role="ingest"}`))

			v.set(c.mood, "away")
			produceAt(t, brokers, time.Now(), customer(200, 1))
			p.until("api", "/v1/events?aggregateId=a-200", 200, "mark-200.") // wrapping keys are in memory
			require.Equal(t, stored+21, counted(t, database, `SELECT count(*) FROM events WHERE sealed IS NOT NULL`))
			require.Equal(t, 1, counted(t, database, `SELECT sum(duplicates) FROM ingest_ranges`))
			require.NotContains(t, dump(t, database)+log.String(), "mark-")
			require.NoError(t, p.stop())
		})
	}
}

// keysAway sees that nothing is stored, that operators are told, and what the API answers.
func keysAway(t *testing.T, p *program, database string, stored int) {
	t.Helper()
	body := p.until("admin", "/readyz", 503, "seal: failing for")
	require.Contains(t, body, `"role":"ingest","ready":false`)
	p.until("admin", "/readyz/api", 200, "")
	require.InDelta(t, 1, p.metric(`audittrail_keys_unavailable{role="ingest"}`), 0)
	if stored > 0 {
		p.token = p.issuer.Token(map[string]any{"roles": []string{"viewer"}})
		begun := time.Now()
		status, body := p.get("api", "/v1/events?aggregateId=a-100")
		require.Equal(t, 200, status, body)
		require.Contains(t, body, `{"$sealed":true}`)
		p.token = p.issuer.Token(map[string]any{"roles": []string{"admin"}})
		status, body = p.get("api", "/v1/events?aggregateId=a-100")
		require.Equal(t, 503, status, body)
		require.Contains(t, body, `"code":"keys_unavailable"`)
		require.NotContains(t, body, "127.0.0.1")
		require.Less(t, time.Since(begun), 20*time.Second)
		p.until("admin", "/readyz/api", 200, "sealed values can't be opened")
	}
	require.Equal(t, stored, counted(t, database, `SELECT count(*) FROM events`))
	require.Zero(t, counted(t, database, `SELECT count(*) FROM dead_letters`))
	require.NotContains(t, dump(t, database), "mark-")
}

// counted is what a statement counts.
func counted(t *testing.T, database, sql string) (n int) {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), database)
	require.NoError(t, err)
	defer func() { _ = conn.Close(context.Background()) }()
	require.NoError(t, conn.QueryRow(t.Context(), `SELECT coalesce((`+sql+`), 0)::bigint`).Scan(&n))
	return n
}
