package systemtest

import (
	"bufio"
	"fmt"
	"math/rand/v2"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"audittrail/platform/longtest"
)

// filters of the search, each with the condition that says the same in plain SQL, and the values that events have.
var searchFilters = []struct{ name, condition, values string }{
	{"eventType", "event_type = $%d", "SELECT DISTINCT event_type::text FROM events"},
	{"aggregateId", "aggregate_id = $%d", "SELECT DISTINCT aggregate_id::text FROM events"},
	{"aggregateType", "aggregate_type = $%d", "SELECT DISTINCT aggregate_type::text FROM events"},
	{"correlationId", "metadata ->> 'correlationId' = $%d", "SELECT DISTINCT metadata ->> 'correlationId' FROM events WHERE metadata ? 'correlationId'"},
	{"causationId", "metadata ->> 'causationId' = $%d", "SELECT DISTINCT metadata ->> 'causationId' FROM events WHERE metadata ? 'causationId'"},
	{"userId", "metadata ->> 'userId' = $%d", "SELECT DISTINCT metadata ->> 'userId' FROM events WHERE metadata ? 'userId'"},
	{"source", "metadata ->> 'source' = $%d", "SELECT DISTINCT metadata ->> 'source' FROM events WHERE metadata ? 'source'"},
	{"payload", "payload @> $%d::text::jsonb", "SELECT DISTINCT jsonb_build_object('activity', payload -> 'activity')::text FROM events WHERE payload ? 'activity'"},
	{"from", "timestamp >= $%d::text::timestamptz", "SELECT DISTINCT to_char(timestamp AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.US\"Z\"') FROM events"},
	{"to", "timestamp < $%d::text::timestamptz", "SELECT DISTINCT to_char(timestamp AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.US\"Z\"') FROM events"},
}

// TestSearchesArePlainSQL proves that searches by random filters over real events give the sets that plain SQL
// gives, in their order, over all pages, while more events come in.
func TestSearchesArePlainSQL(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	do(t, "publish", excerpt, "--topic", s.topic, "--kafka.brokers", s.brokers[0])
	token, flags := credentials(t)
	address := freeAddress(t)
	p := s.ingest("all", append(flags, "--roles=ingest,api", "--http.addr", address)...)
	s.caughtUp(time.Minute, p)
	eventually(t, 20*time.Second, "it is ready", p.ready)
	size := one[int64](s, "SELECT count(*) FROM events")
	values := make([][]string, len(searchFilters))
	for i, f := range searchFilters {
		values[i] = one[[]string](s, "SELECT array_agg(v ORDER BY v) FROM ("+f.values+") AS x (v)")
	}
	again := renumbered(t)
	published := make(chan struct{})
	go func() {
		defer close(published)
		do(t, "publish", again, "--topic", s.topic, "--kafka.brokers", s.brokers[0])
	}()

	random := rand.New(rand.NewPCG(1, uint64(size)))
	found := 0
	for range longtest.Choose(t, 30, 150) {
		query, where, args := url.Values{}, "first_position + (id & 16383) < $1", []any{size}
		for _, i := range random.Perm(len(searchFilters))[:1+random.IntN(3)] {
			if len(values[i]) == 0 {
				continue
			}
			value := values[i][random.IntN(len(values[i]))]
			args = append(args, value)
			query.Set(searchFilters[i].name, value)
			where += fmt.Sprintf(" AND "+searchFilters[i].condition, len(args))
		}
		if query.Has("from") && query.Has("to") && query.Get("from") >= query.Get("to") {
			continue // which the API refuses
		}
		order := []string{"asc", "desc"}[random.IntN(2)]
		query.Set("order", order)
		query.Set("limit", strconv.Itoa(1+random.IntN(300)))
		var want []string
		if err := s.db.QueryRow(t.Context(), `SELECT coalesce(array_agg(event_id::text ORDER BY timestamp `+order+`, id `+order+`), '{}')
			FROM events JOIN ledger_batches ON log = 'events' AND batch = id >> 14 WHERE `+where, args...).Scan(&want); err != nil {
			t.Fatal(err)
		}
		if got := search(t, "http://"+address, token, query, size); !slices.Equal(got, want) {
			t.Fatalf("%s: %d events, and by SQL %d", query.Encode(), len(got), len(want))
		}
		found += len(want)
	}
	if found < 1000 {
		t.Errorf("%d events were found in all: too few to tell", found)
	}
	<-published
	s.caughtUp(time.Minute, p)
	p.stop()
}

// search reads all pages of a search, and answers the ids of events below a position.
func search(t *testing.T, api, token string, query url.Values, below int64) []string {
	t.Helper()
	ids := []string{}
	for events := range listed(t, api+"/v1/events", token, query) {
		for _, e := range events {
			if e.Position < below {
				ids = append(ids, e.EventID)
			}
		}
	}
	return ids
}

// renumbered is a file with the excerpt's events under other ids.
func renumbered(t *testing.T) string {
	t.Helper()
	var out strings.Builder
	in := bufio.NewScanner(openEvents(t, excerpt))
	for n := 0; in.Scan(); n++ {
		_, rest, _ := strings.Cut(in.Text(), `","`)
		fmt.Fprintf(&out, `{"eventId":"00000000-0000-4000-8000-%012d","%s`+"\n", n, rest)
	}
	if err := in.Err(); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "again.ndjson")
	if err := os.WriteFile(file, []byte(out.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}
