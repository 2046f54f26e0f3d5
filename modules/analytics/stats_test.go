package analytics_test

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"audittrail/modules/analytics"
	"audittrail/modules/store"
)

// random makes events of few types, sources and users, from an own seed. Some are late by months, some come twice, some
// lack what others have.
func random(n int, seed uint64) [][]byte {
	rng := rand.New(rand.NewPCG(seed, 0))
	begin := time.Date(2026, 3, 28, 0, 0, 0, 0, time.UTC) // the clocks of Berlin change the day after
	var all [][]byte
	for i := range n {
		if rng.IntN(10) == 0 && len(all) > 0 {
			all = append(all, all[rng.IntN(len(all))])
			continue
		}
		at := begin.Add(time.Duration(rng.Int64N(int64(72 * time.Hour))))
		if rng.IntN(20) == 0 {
			at = at.AddDate(0, -rng.IntN(900), 0)
		}
		metadata := map[string]any{}
		if rng.IntN(8) > 0 {
			metadata["source"] = []string{"shop", "shed", "=warehouse", ""}[rng.IntN(4)]
		}
		if rng.IntN(3) > 0 {
			metadata["userId"] = fmt.Sprint("u-", rng.IntN(30))
		}
		value, _ := json.Marshal(map[string]any{
			"eventId": fmt.Sprintf("0190d3f1-7c3a-7b1e-%04x-%012x", 0x8000+seed, i), "eventType": []string{"OrderPlaced", "OrderPaid", "Order, \"odd\"", "Stock"}[rng.IntN(4)],
			"aggregateType": []string{"Order", "Item"}[rng.IntN(2)], "aggregateId": fmt.Sprint("a-", rng.IntN(200)),
			"timestamp": at.Format(time.RFC3339Nano), "version": 1, "payload": i, "metadata": metadata,
		})
		all = append(all, value)
	}
	return all
}

// columns are plain SQL for what groupBy names.
func columns() map[string]string {
	return map[string]string{"eventType": "event_type", "aggregateType": "aggregate_type", "source": "metadata ->> 'source'", "userId": "metadata ->> 'userId'"}
}

// question is a count that is asked of the API and of plain SQL.
type question struct {
	interval, tz string
	groupBy      []string
	filter       map[string]string
	from, to     string
	roles        []string
	scope        string // in SQL
}

func (q question) path() string {
	v := url.Values{"interval": {q.interval}, "top": {"1000"}}
	for name, value := range map[string]string{"tz": q.tz, "from": q.from, "to": q.to} {
		if value != "" {
			v.Set(name, value)
		}
	}
	for name, value := range q.filter {
		v.Set(name, value)
	}
	v["groupBy"] = q.groupBy
	return "/v1/stats/events?" + v.Encode()
}

// plain answers it by counting all events.
func (q question) plain(t testing.TB, conn *pgx.Conn) map[string]int64 {
	t.Helper()
	tz := q.tz
	if tz == "" {
		tz = "UTC"
	}
	keys := []string{"to_char(date_trunc('" + q.interval + "', timestamp, '" + tz + "') AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI')"}
	where := []string{"true"}
	for _, field := range q.groupBy {
		keys = append(keys, "coalesce("+columns()[field]+", '<none>')")
		if field == "userId" {
			where = append(where, columns()[field]+" IS NOT NULL")
		}
	}
	for field, value := range q.filter {
		where = append(where, columns()[field]+" = '"+value+"'")
	}
	if q.from != "" {
		where = append(where, "timestamp >= '"+q.from+"'")
	}
	if q.to != "" {
		where = append(where, "timestamp < '"+q.to+"'")
	}
	if q.scope != "" {
		where = append(where, q.scope)
	}
	rows, _ := conn.Query(t.Context(), "SELECT concat_ws('|', "+strings.Join(keys, ", ")+"), count(*) FROM events WHERE "+strings.Join(where, " AND ")+" GROUP BY 1")
	counts := map[string]int64{}
	var key string
	var n int64
	_, err := pgx.ForEachRow(rows, []any{&key, &n}, func() error { counts[key] = n; return nil })
	require.NoError(t, err)
	return counts
}

type stats struct {
	Items []struct {
		Start             time.Time
		Group             map[string]*string
		Other             bool
		Count             int64
		Aggregates, Users *int64
	}
	Position, Head int64
	Scanned        bool
}

// asked answers it by the API.
func (q question) asked(t testing.TB, f *fixture) (map[string]int64, stats) {
	t.Helper()
	return q.askedTop(t, f, 1000)
}

// askedTop tells so many groups apart.
func (q question) askedTop(t testing.TB, f *fixture, top int) (map[string]int64, stats) {
	t.Helper()
	var got stats
	f.get(t, strings.Replace(q.path(), "top=1000", fmt.Sprint("top=", top), 1), q.roles...).decode(t, &got)
	counts := map[string]int64{}
	for _, item := range got.Items {
		key := item.Start.Format("2006-01-02 15:04")
		if item.Other {
			key += "|other"
		}
		for _, field := range q.groupBy {
			if v := item.Group[field]; item.Other {
				require.Nil(t, v)
			} else if v != nil {
				key += "|" + *v
			} else {
				key += "|<none>"
			}
		}
		require.NotContains(t, counts, key)
		counts[key] = item.Count
	}
	return counts, got
}

func (q question) check(t testing.TB, f *fixture) stats {
	t.Helper()
	got, whole := q.asked(t, f)
	require.Equal(t, q.plain(t, f.conn), got, q.path())
	require.Equal(t, whole.Head, whole.Position)
	return whole
}

func questions() []question {
	var all []question
	for _, interval := range []string{"minute", "hour", "day", "week", "month"} {
		for _, tz := range []string{"", "Europe/Berlin", "Asia/Kolkata", "America/St_Johns"} {
			all = append(all, question{interval: interval, tz: tz})
		}
		all = append(all,
			question{interval: interval, groupBy: []string{"eventType", "source"}},
			question{interval: interval, groupBy: []string{"aggregateType"}, filter: map[string]string{"source": "shop"}, tz: "Europe/Berlin"},
			question{interval: interval, groupBy: []string{"source"}, from: "2026-03-28T10:11:12.5Z", to: "2026-03-29T23:59:30Z"},
			question{interval: interval, from: "2026-03-28T10:11:12Z", to: "2026-03-28T10:11:50Z", groupBy: []string{"eventType"}},
			question{interval: interval, filter: map[string]string{"eventType": "OrderPaid", "aggregateType": "Item"}, roles: []string{"orders-only"},
				scope: `event_type LIKE 'Order%' AND metadata ->> 'source' LIKE 'sho_'`},
			question{interval: interval, groupBy: []string{"source", "eventType"}, roles: []string{"orders-only"}, scope: `event_type LIKE 'Order%' AND metadata ->> 'source' LIKE 'sho_'`},
		)
		if interval != "minute" {
			all = append(all,
				question{interval: interval, groupBy: []string{"userId"}},
				question{interval: interval, groupBy: []string{"userId", "eventType"}, from: "2026-03-28T10:11:12Z", tz: "Europe/Berlin"},
				question{interval: interval, filter: map[string]string{"userId": "u-3"}},
			)
		}
	}
	const from, to = "2026-03-28T10:00:00Z", "2026-03-30T00:00:00Z"
	return append(all,
		question{interval: "minute", groupBy: []string{"userId"}, from: from, to: to},
		question{interval: "hour", groupBy: []string{"userId", "source"}, from: from, to: to},
		question{interval: "day", groupBy: []string{"userId"}, from: from, to: to, roles: []string{"orders-only"}, scope: `event_type LIKE 'Order%' AND metadata ->> 'source' LIKE 'sho_'`},
	)
}

func TestCountsAreThoseOfPlainSQL(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.start(t)
	f.appendAll(t, random(3000, 1))
	f.caughtUp(t)
	for _, q := range questions() {
		if q.interval == "minute" && q.from == "" && len(q.groupBy) == 0 {
			q.from, q.to = "2026-03-28T00:00:00Z", "2026-04-10T00:00:00Z"
		}
		whole := q.check(t, f)
		require.Equal(t, q.from != "" && (slices.Contains(q.groupBy, "userId") && (q.interval == "minute" || slices.Contains(q.groupBy, "source") || q.roles != nil)), whole.Scanned, q.path())
	}
}

// An answer counts the events up to its position, and none beyond, however fast others come.
func TestCountsEndAtTheirPosition(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.append(t, random(1, 6)...)
	f.start(t, func(d *analytics.Dependencies) { d.Interval = time.Millisecond })
	f.caughtUp(t)
	ctx, stop := context.WithCancel(t.Context())
	var appending sync.WaitGroup
	defer appending.Wait()
	defer stop()
	appending.Go(func() {
		for values := random(20_000, 8); ctx.Err() == nil && len(values) > 5; values = values[5:] {
			f.append(t, values[:5]...)
		}
	})
	for range 100 {
		for _, how := range []string{"", "&distinct=true"} {
			var got stats
			f.get(t, "/v1/stats/events?interval=month"+how).decode(t, &got)
			var n int64
			for _, item := range got.Items {
				n += item.Count
			}
			require.Equal(t, got.Position+1, n, how)
		}
	}
}

func TestCountsOfTheRealOrders(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.start(t, func(d *analytics.Dependencies) { d.Batch = 0 })
	f.appendAll(t, purchaseOrders(t))
	f.caughtUp(t)
	for _, interval := range []string{"day", "week", "month"} {
		question{interval: interval}.check(t, f)
		question{interval: interval, groupBy: []string{"eventType", "aggregateType", "source"}, from: "2018-03-01T00:00:00Z", to: "2018-09-01T00:00:00Z"}.check(t, f)
	}
}

// Questions read ranges of keys, so rows that are near by key lie near each other.
func TestRollupsLieInTheOrderOfTheirKeys(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.append(t, random(500, 7)...)
	f.start(t)
	f.caughtUp(t)
	for table, key := range map[string]string{"rollup_events": "unit, start, event_type, aggregate_type", "rollup_users": "unit, start, user_id, event_type"} {
		var rows, apart int
		require.NoError(t, f.conn.QueryRow(t.Context(), `SELECT count(*), count(*) FILTER (WHERE by_key < before)
			FROM (SELECT by_key, lag(by_key) OVER (ORDER BY ctid) AS before FROM (SELECT ctid, rank() OVER (ORDER BY `+key+`) AS by_key FROM `+table+`) AS r) AS r`).Scan(&rows, &apart))
		require.Greater(t, rows, 300, table)
		require.Zero(t, apart, table)
	}
}

// Whoever counts may end at any moment, and the counts may be forgotten at any moment: in the end they are the same.
func TestCountsAfterKillsAndRebuilds(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	values := random(4000, 2)
	stops := []func(){f.start(t, func(d *analytics.Dependencies) { d.Batch = 90 }), f.start(t)} // one waits
	for i := 0; len(values) > 0; i++ {
		n := min(150, len(values))
		f.append(t, values[:n]...)
		values = values[n:]
		switch i % 4 {
		case 0: // the server cuts the leader off in the middle of something
			_, err := f.conn.Exec(t.Context(), `SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND usename = current_user
				AND pid IN (SELECT pid FROM pg_locks WHERE locktype = 'advisory' AND classid = 1635083380 AND objid = 6)`)
			require.NoError(t, err)
		case 1:
			stops[0]()
			stops = append(stops[1:], f.start(t, func(d *analytics.Dependencies) { d.Batch = 1 + i*7 }))
		case 2:
			require.NoError(t, store.ResetAnalytics(t.Context(), openPool(t, f.url, "audittrail_analytics")))
		}
	}
	f.caughtUp(t)
	check := func() string {
		t.Helper()
		for _, q := range questions()[20:26] {
			q.check(t, f)
		}
		return f.fingerprint(t)
	}
	before := check()
	require.NoError(t, store.ResetAnalytics(t.Context(), openPool(t, f.url, "audittrail_analytics")))
	f.caughtUpFromZero(t)
	require.Equal(t, before, check(), "to the last bit of the sketches")
}

// A process that has much to count, and takes hours for it, works as it should.
func TestCatchingUpIsHealthy(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.append(t, random(10, 4)...)
	tx, err := f.conn.Begin(t.Context())
	require.NoError(t, err)
	_, err = tx.Exec(t.Context(), "LOCK TABLE rollup_events") // so that the first round does not end
	require.NoError(t, err)
	role := f.role(t)
	require.Error(t, role.Health(t.Context()))
	run(t, role)
	require.Eventually(t, func() bool { return role.Health(t.Context()) == nil }, time.Minute, 10*time.Millisecond)
	require.NoError(t, tx.Rollback(t.Context()))
	f.caughtUp(t)
}

// caughtUpFromZero waits until everything was counted since a reset.
func (f *fixture) caughtUpFromZero(t testing.TB) {
	t.Helper()
	require.Eventually(t, func() bool {
		var cursors int
		return f.conn.QueryRow(t.Context(), `SELECT count(*) FROM analytics_cursors`).Scan(&cursors) == nil && cursors > 0
	}, time.Minute, 10*time.Millisecond)
	f.caughtUp(t)
}

// fingerprint is a hash of all that the rollups hold.
func (f *fixture) fingerprint(t testing.TB) (all string) {
	t.Helper()
	for _, table := range []string{"rollup_events", "rollup_users"} {
		var one string
		require.NoError(t, f.conn.QueryRow(context.Background(), `SELECT md5(string_agg(r::text, ' ' ORDER BY r::text)) FROM `+table+` AS r`).Scan(&one))
		all += table + " " + one + "\n"
	}
	return all
}

func TestGroupsBeyondTheTop(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.start(t)
	f.appendAll(t, random(1000, 3))
	f.caughtUp(t)
	var all, top stats
	f.get(t, "/v1/stats/events?interval=month&groupBy=userId&top=1000").decode(t, &all)
	f.get(t, "/v1/stats/events?interval=month&groupBy=userId&top=3").decode(t, &top)
	sum := func(s stats) (n int64, users map[string]int64, other int64) {
		users = map[string]int64{}
		for _, i := range s.Items {
			n += i.Count
			if i.Other {
				other += i.Count
				require.Empty(t, i.Group)
				continue
			}
			users[*i.Group["userId"]] += i.Count
		}
		return n, users, other
	}
	everything, users, _ := sum(all)
	n, shown, other := sum(top)
	require.Equal(t, everything, n)
	require.Len(t, shown, 3)
	least := int64(1 << 60)
	for user, count := range shown {
		require.Equal(t, users[user], count)
		least = min(least, count)
		delete(users, user)
	}
	for user, count := range users {
		require.LessOrEqual(t, count, least, user)
		other -= count
	}
	require.Zero(t, other)
}

func TestDistinctAggregatesAndUsers(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.start(t)
	f.appendAll(t, random(2000, 4))
	f.caughtUp(t)
	var got stats
	f.get(t, "/v1/stats/events?interval=month&tz=Europe/Berlin&distinct=true&groupBy=eventType&top=2").decode(t, &got)
	require.NotEmpty(t, got.Items)
	others := 0
	for _, item := range got.Items {
		types := "event_type = '" + strings.ReplaceAll(fmt.Sprint(item.Group["eventType"]), "'", "") + "'"
		if item.Group["eventType"] != nil {
			types = "event_type = '" + *item.Group["eventType"] + "'"
		}
		if item.Other {
			others++
			types = "NOT event_type = ANY ((SELECT array_agg(event_type) FROM (SELECT event_type FROM events GROUP BY 1 ORDER BY count(*) DESC, 1 LIMIT 2) AS t)::text[])"
		}
		var aggregates, users int64
		require.NoError(t, f.conn.QueryRow(t.Context(), `SELECT count(DISTINCT (aggregate_type, aggregate_id)), count(DISTINCT metadata ->> 'userId') FROM events
			WHERE date_trunc('month', timestamp, 'Europe/Berlin') = $1 AND `+types, item.Start).Scan(&aggregates, &users))
		require.InDelta(t, aggregates, *item.Aggregates, 2+0.05*float64(aggregates))
		require.InDelta(t, users, *item.Users, 2)
	}
	require.NotZero(t, others)
}

func TestCountsAsCSV(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.start(t)
	f.append(t, []byte(`{"eventId":"0190d3f1-7c3a-7b1e-8000-000000000001","eventType":"=1+1","aggregateType":"A","aggregateId":"a","timestamp":"2026-01-05T10:00:00Z","version":1,"payload":1}`))
	f.caughtUp(t)
	got := f.ask(t, "GET", "/v1/stats/events?interval=week&groupBy=eventType&groupBy=source&distinct=true", "", "text/csv")
	require.Equal(t, "start,eventType,source,other,count,aggregates,users\r\n2026-01-05T00:00:00.000000Z,'=1+1,,false,1,1,0\r\n", string(got.body))
	require.Equal(t, "text/csv; charset=utf-8; header=present", got.header.Get("Content-Type"))
}

func TestCountsThatAreRefused(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.start(t)
	f.appendAll(t, random(100, 5))
	f.caughtUp(t)
	for query, want := range map[string][2]string{
		"interval=day&groupBy=userId&groupBy=source":                                                   {"range_too_long", ""},
		"interval=day&userId=u-1&source=shop&from=2026-01-01T00:00:00Z&to=2026-02-01T00:00:00.000001Z": {"range_too_long", ""},
		"interval=minute&userId=u-1":                                                                   {"range_too_long", ""},
		"interval=day&tz=Nowhere/Else":                                                                 {"invalid_parameter", "tz"},
		"interval=day&tz=Local":                                                                        {"invalid_parameter", "tz"},
		"interval=day&tz=posix/Europe/Berlin":                                                          {"invalid_parameter", "tz"},
		"interval=day&tz=right/Europe/Berlin":                                                          {"invalid_parameter", "tz"},
		"interval=day&tz=localtime":                                                                    {"invalid_parameter", "tz"},
		"interval=day&tz=posixrules":                                                                   {"invalid_parameter", "tz"},
		"interval=day&groupBy=source&groupBy=source":                                                   {"invalid_parameter", "groupBy"},
		"interval=minute&distinct=true":                                                                {"invalid_parameter", "distinct"},
		"interval=day&distinct=true&groupBy=userId":                                                    {"invalid_parameter", "distinct"},
		"interval=day&distinct=true&from=2026-01-01T00:00:01Z":                                         {"invalid_parameter", "distinct"},
		"interval=day&from=2026-01-02T00:00:00Z&to=2026-01-02T00:00:00Z":                               {"invalid_parameter", "to"},
		"interval=year": {"invalid_parameter", "interval"},
	} {
		status := 400
		if want[0] == "range_too_long" {
			status = 422
		}
		f.get(t, "/v1/stats/events?"+query).refused(t, status, want[0], want[1])
	}
	require.Equal(t, 403, f.get(t, "/v1/stats/events?interval=day", "viewer").status)
}

// A sealed user is an object: it is nobody's group.
func TestSealedUsersAreNoGroup(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.append(t, random(1, 6)[0])
	_, err := f.conn.Exec(t.Context(), `SET session_replication_role = replica; ALTER TABLE events DISABLE TRIGGER ALL;
		UPDATE events SET metadata = '{"userId": {"$sealed": 0}, "source": {"$sealed": 1}}'`)
	require.NoError(t, err)
	f.start(t)
	f.caughtUp(t)
	var got stats
	f.get(t, "/v1/stats/events?interval=month&groupBy=userId").decode(t, &got)
	require.Empty(t, got.Items)
	f.get(t, "/v1/stats/events?interval=month&groupBy=source").decode(t, &got)
	require.Len(t, got.Items, 1)
	require.Nil(t, got.Items[0].Group["source"])
	day := got.Items[0].Start.Format(time.RFC3339)
	f.get(t, "/v1/stats/events?interval=minute&groupBy=userId&groupBy=source&from="+day+"&to="+got.Items[0].Start.AddDate(0, 0, 31).Format(time.RFC3339)).decode(t, &got)
	require.Empty(t, got.Items)
	require.True(t, got.Scanned)
}

// Sketches take some kilobytes an item, so an answer with them may have fewer items.
func TestDistinctOfTooManyItems(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	at := time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC)
	var values [][]byte
	for i := range 2001 {
		values = append(values, made(i, "Placed", fmt.Sprint(i), 1, at.Add(time.Duration(i)*time.Hour), "", "shop", ""))
	}
	f.appendAll(t, values)
	f.start(t)
	f.caughtUp(t)
	var got stats
	f.get(t, "/v1/stats/events?interval=hour").decode(t, &got)
	require.Len(t, got.Items, 2001)
	f.get(t, "/v1/stats/events?interval=hour&distinct=true").refused(t, 422, "range_too_long", "")
	f.get(t, "/v1/stats/events?interval=day&distinct=true").decode(t, &got)
	require.Len(t, got.Items, 84)
	require.EqualValues(t, 24, *got.Items[0].Aggregates)
}
