package store_test

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"audittrail/modules/event"
	"audittrail/modules/store"
	"audittrail/platform/errs"
)

// openAPIPool opens a pool as the api role's is, with a statement_timeout of the caller's.
func openAPIPool(t testing.TB, url, timeout string) *pgxpool.Pool {
	t.Helper()
	config, err := pgxpool.ParseConfig(url)
	require.NoError(t, err)
	config.ConnConfig.RuntimeParams["role"] = "audittrail_api"
	config.ConnConfig.RuntimeParams["statement_timeout"] = timeout
	config.ConnConfig.RuntimeParams["jit"] = "off"
	config.ConnConfig.RuntimeParams["max_parallel_workers_per_gather"] = "0"
	config.MaxConns = 4
	pool, err := pgxpool.NewWithConfig(t.Context(), config)
	require.NoError(t, err)
	t.Cleanup(pool.Close)
	return pool
}

func (s testStore) reader(t testing.TB) *store.Reader {
	t.Helper()
	return s.readerOf(t, store.ReaderOptions{})
}

func (s testStore) readerOf(t testing.TB, o store.ReaderOptions) *store.Reader {
	t.Helper()
	o.Pool = openAPIPool(t, s.url, "10s")
	return store.NewReader(o)
}

// given is an event of a read test, in short.
type given struct {
	n              int // makes its id
	typ, aggregate string
	at             string
	payload        string
	metadata       string
}

func (g given) value() string {
	if g.payload == "" {
		g.payload = `{"n":` + fmt.Sprint(g.n) + `}`
	}
	g.metadata = cmp.Or(g.metadata, "{}")
	return fmt.Sprintf(`{"eventId":%q,"eventType":%q,"aggregateId":%q,"aggregateType":"Order",
		"timestamp":%q,"version":1,"payload":%s,"metadata":%s}`, id(g.n), g.typ, g.aggregate, g.at, g.payload, g.metadata)
}

// appendAll stores the events of partition 0 as one batch that begins at offset from.
func (s testStore) appendAll(t testing.TB, from int64, events ...given) store.Receipt {
	t.Helper()
	var records []event.Raw
	for i, g := range events {
		records = append(records, raw(0, from+int64(i), g.value()))
	}
	receipt, err := s.Append(t.Context(), one(t, from, records...))
	require.NoError(t, err)
	require.Equal(t, len(events), receipt.Stored)
	return receipt
}

func ids(events []event.Stored) []string {
	out := []string{}
	for _, e := range events {
		out = append(out, e.ID.String())
	}
	return out
}

func codeOf(t testing.TB, err error) string {
	t.Helper()
	require.Error(t, err)
	return errs.Of(err).Code
}

func TestReadAnEventAsItWasStored(t *testing.T) {
	t.Parallel()
	s := newStore(t)
	s.begin(t, 1)
	r := s.reader(t)
	payload := `{"z":1.50,"a":[9223372036854775808,{"é":"\u2028"}],"e":1e400}`
	s.appendAll(t, 0, given{n: 1, typ: "Order Placed/äö", aggregate: "a/b c", at: "2026-01-02T03:04:05.678901234+02:00", payload: payload})

	eventID, err := event.ParseID(id(1))
	require.NoError(t, err)
	e, err := r.Event(t.Context(), eventID)
	require.NoError(t, err)
	require.Equal(t, "Order Placed/äö", e.Type)
	require.Equal(t, "a/b c", e.AggregateID)
	require.Equal(t, "2026-01-02T01:04:05.678901Z", event.FormatTime(e.Timestamp))
	want := `{"a":[9223372036854775808,{"é":"` + "\u2028" + `"}],"e":1e+400,"z":1.5}`
	require.Equal(t, want, string(e.Payload))
	require.Equal(t, int64(0), e.Position)
	require.Equal(t, event.Coordinates{Topic: topic, Partition: 0, Offset: 0}, e.Kafka)
	require.NotZero(t, e.Salt)
	require.WithinDuration(t, time.Now(), e.RecordedAt, time.Minute)

	list, err := r.Events(t.Context(), store.Filter{}, store.Page{Limit: 10})
	require.NoError(t, err)
	feed, err := r.Feed(t.Context(), store.Filter{}, -1, 10)
	require.NoError(t, err)
	for _, same := range []event.Stored{list.Items[0], feed.Items[0]} {
		require.Equal(t, string(e.AppendJSON(nil)), string(same.AppendJSON(nil)), "every reader shows the same bytes")
	}
}

func TestReadWhatIsNotThere(t *testing.T) {
	t.Parallel()
	s := newStore(t)
	r := s.reader(t)
	_, err := r.Event(t.Context(), event.ID{1})
	require.Equal(t, errs.NotFound, errs.Of(err).Kind)
	_, err = r.DeadLetter(t.Context(), 1)
	require.Equal(t, errs.NotFound, errs.Of(err).Kind)

	list, err := r.Events(t.Context(), store.Filter{}, store.Page{Limit: 1})
	require.NoError(t, err)
	require.Empty(t, list.Items)
	require.Empty(t, list.Next)
	head, err := r.Head(t.Context())
	require.NoError(t, err)
	require.Equal(t, int64(-1), head)
	feed, err := r.Feed(t.Context(), store.Filter{}, -1, 10)
	require.NoError(t, err)
	require.Equal(t, store.FeedPage{Items: []event.Stored{}, ScannedTo: -1}, feed)
	offsets, err := r.Offsets(t.Context())
	require.NoError(t, err)
	require.Empty(t, offsets)
}

func TestReadFindsPartitionsThatAreNewerThanItsList(t *testing.T) {
	t.Parallel()
	s := newStore(t)
	s.begin(t, 1)
	r := s.reader(t)
	_, err := r.Events(t.Context(), store.Filter{}, store.Page{Limit: 1}) // the list of partitions is read
	require.NoError(t, err)

	// A gap in the middle: the partition of 2010 goes, and comes back after the list was made.
	_, err = s.owner.Exec(t.Context(), `ALTER TABLE events DETACH PARTITION events_2010; DROP TABLE events_2010`)
	require.NoError(t, err)
	fresh := s.reader(t)
	_, err = fresh.Events(t.Context(), store.Filter{}, store.Page{Limit: 1})
	require.NoError(t, err)
	s.appendAll(t, 0, given{n: 1, typ: "A", aggregate: "x", at: "2010-05-05T00:00:00Z"}, given{n: 2, typ: "A", aggregate: "x", at: "2011-05-05T00:00:00Z"})

	for _, order := range []store.Order{store.Ascending, store.Descending} {
		list, err := fresh.Events(t.Context(), store.Filter{}, store.Page{Limit: 10, Order: order})
		require.NoError(t, err)
		require.Len(t, list.Items, 2)
	}
}

func TestReadPagesEndAtTheirBytes(t *testing.T) {
	t.Parallel()
	s := newStore(t)
	s.begin(t, 1)
	var events []given
	for n := range 10 {
		events = append(events, given{n: n + 1, typ: "A", aggregate: "x", at: "2026-01-01T00:00:00Z",
			payload: `"` + strings.Repeat("x", 200_000) + `"`})
	}
	s.appendAll(t, 0, events...)
	r := store.NewReader(store.ReaderOptions{Pool: openAPIPool(t, s.url, "10s"), PageBytes: 450_000})

	var found []string
	pages, cursor := 0, ""
	for {
		page, err := r.Events(t.Context(), store.Filter{}, store.Page{Limit: 1000, Order: store.Ascending, Cursor: cursor})
		require.NoError(t, err)
		require.LessOrEqual(t, len(page.Items), 2)
		found, pages = append(found, ids(page.Items)...), pages+1
		if cursor = page.Next; cursor == "" {
			break
		}
	}
	require.Equal(t, 5, pages)
	require.Len(t, slices.Compact(found), 10)

	after := int64(-1)
	for pages = 0; ; pages++ {
		page, err := r.Feed(t.Context(), store.Filter{}, after, 1000)
		require.NoError(t, err)
		for i, e := range page.Items {
			require.Equal(t, after+1+int64(i), e.Position)
		}
		after = page.ScannedTo
		if !page.More {
			break
		}
	}
	require.Equal(t, int64(9), after)
	require.Equal(t, 4, pages)

	// An event that is larger than a page is a page of its own.
	small := store.NewReader(store.ReaderOptions{Pool: openAPIPool(t, s.url, "10s"), PageBytes: 1000})
	page, err := small.Events(t.Context(), store.Filter{}, store.Page{Limit: 1000})
	require.NoError(t, err)
	require.Len(t, page.Items, 1)
	require.NotEmpty(t, page.Next)
}

func TestReadCursorsBelongToTheirSearch(t *testing.T) {
	t.Parallel()
	s := newStore(t)
	s.begin(t, 1)
	r := s.reader(t)
	s.appendAll(t, 0, given{n: 1, typ: "A", aggregate: "x", at: "2026-01-01T00:00:00Z"},
		given{n: 2, typ: "A", aggregate: "x", at: "2026-01-02T00:00:00Z"}, given{n: 3, typ: "B", aggregate: "x", at: "2026-01-03T00:00:00Z"})
	first, err := r.Events(t.Context(), store.Filter{EventTypes: []string{"B", "A"}}, store.Page{Limit: 1})
	require.NoError(t, err)

	_, err = r.Events(t.Context(), store.Filter{EventTypes: []string{"A", "B", "A"}}, store.Page{Limit: 7, Cursor: first.Next})
	require.NoError(t, err, "the same search, spelled otherwise, with another limit")

	for name, change := range map[string]struct {
		filter store.Filter
		page   store.Page
	}{
		"another type":  {store.Filter{EventTypes: []string{"A"}}, store.Page{Cursor: first.Next}},
		"another order": {store.Filter{EventTypes: []string{"A", "B"}}, store.Page{Cursor: first.Next, Order: store.Ascending}},
		"another from":  {store.Filter{EventTypes: []string{"A", "B"}, From: time.Unix(1, 0)}, store.Page{Cursor: first.Next}},
		"junk":          {store.Filter{}, store.Page{Cursor: "junk"}},
		"not base64url": {store.Filter{}, store.Page{Cursor: "%%%"}},
		"one bit other": {store.Filter{EventTypes: []string{"A", "B"}}, store.Page{Cursor: flip(first.Next)}},
	} {
		t.Run(name, func(t *testing.T) {
			change.page.Limit = 1
			_, err := r.Events(t.Context(), change.filter, change.page)
			require.Equal(t, "invalid_cursor", codeOf(t, err))
			require.Equal(t, "cursor", errs.Of(err).Field)
		})
	}
	_, err = r.DeadLetters(t.Context(), store.DeadLetterFilter{}, store.Page{Limit: 1, Cursor: first.Next})
	require.Equal(t, "invalid_cursor", codeOf(t, err))
}

// flip changes one character of a cursor.
func flip(cursor string) string {
	c := byte('A')
	if cursor[5] == c {
		c = 'B'
	}
	return cursor[:5] + string(c) + cursor[6:]
}

// Who waits for somebody else's lock can't narrow anything.
func TestReadOfALockedTableIsNotTooExpensive(t *testing.T) {
	t.Parallel()
	s := newStore(t)
	pool := openAPIPool(t, s.url, "10s")
	_, err := pool.Exec(t.Context(), "SET lock_timeout = '50ms'") // of the one connection that there is
	require.NoError(t, err)
	tx, err := s.owner.Begin(t.Context())
	require.NoError(t, err)
	defer tx.Rollback(t.Context())
	_, err = tx.Exec(t.Context(), "LOCK TABLE events IN ACCESS EXCLUSIVE MODE")
	require.NoError(t, err)
	_, err = store.NewReader(store.ReaderOptions{Pool: pool}).Events(t.Context(), store.Filter{}, store.Page{Limit: 1})
	require.Equal(t, errs.Unavailable, errs.Of(err).Kind, err)
}

func TestReadTooExpensive(t *testing.T) {
	t.Parallel()
	s := newStore(t)
	s.begin(t, 1)
	s.appendAll(t, 0, given{n: 1, typ: "A", aggregate: "x", at: "2026-01-01T00:00:00Z"})
	r := store.NewReader(store.ReaderOptions{Pool: openAPIPool(t, s.url, "100ms")})
	_, err := r.Events(t.Context(), store.Filter{}, store.Page{Limit: 1}) // planned once, so that the next is quick
	require.NoError(t, err)

	// A lock that somebody holds makes any statement too slow.
	tx, err := s.owner.Begin(t.Context())
	require.NoError(t, err)
	_, err = tx.Exec(t.Context(), `LOCK TABLE events`)
	require.NoError(t, err)
	_, err = r.Events(t.Context(), store.Filter{}, store.Page{Limit: 1})
	require.Equal(t, errs.TooExpensive, errs.Of(err).Kind)
	require.NotContains(t, errs.Of(err).Detail, "statement", "PostgreSQL's words are not passed on")
	require.NoError(t, tx.Rollback(t.Context()))
}

func TestReadWhilePostgresIsAway(t *testing.T) {
	t.Parallel()
	pool, err := pgxpool.New(t.Context(), "postgres://nobody:secret@127.0.0.1:1/none?connect_timeout=1")
	require.NoError(t, err)
	t.Cleanup(pool.Close)
	r := store.NewReader(store.ReaderOptions{Pool: pool})
	_, err = r.Events(t.Context(), store.Filter{}, store.Page{Limit: 1})
	require.Equal(t, errs.Unavailable, errs.Of(err).Kind)
	require.NotContains(t, errs.Of(err).Detail, "127.0.0.1")

	gone, cancel := context.WithCancel(t.Context())
	cancel()
	_, err = r.Events(gone, store.Filter{}, store.Page{Limit: 1})
	require.ErrorIs(t, err, context.Canceled, "a caller that left is no outage")
}

// TestReadPingWhileBusy: long searches on all connections are no reason to take the process out of service.
func TestReadPingWhileBusy(t *testing.T) {
	t.Parallel()
	s := newStore(t)
	config := s.pool.Config()
	config.MaxConns = 1
	pool, err := pgxpool.NewWithConfig(t.Context(), config)
	require.NoError(t, err)
	defer pool.Close()
	r := store.NewReader(store.ReaderOptions{Pool: pool})
	require.NoError(t, r.Ping(t.Context()))

	busy, err := pool.Acquire(t.Context())
	require.NoError(t, err)
	defer busy.Release()
	probe, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	require.NoError(t, r.Ping(probe))
}

func TestReadDeadLetters(t *testing.T) {
	t.Parallel()
	s := newStore(t)
	s.begin(t, 1)
	r := s.reader(t)
	var records []event.Raw
	for i := range 5 {
		records = append(records, raw(0, int64(i), `{"not":"an event"}`))
	}
	records = append(records, raw(0, 5, `nonsense`))
	_, err := s.Append(t.Context(), one(t, 0, records...))
	require.NoError(t, err)

	var found []int64
	page := store.Page{Limit: 2}
	for {
		list, err := r.DeadLetters(t.Context(), store.DeadLetterFilter{Topic: topic, Reason: string(event.MissingField)}, page)
		require.NoError(t, err)
		for _, d := range list.Items {
			found = append(found, d.Raw.Offset)
		}
		if page.Cursor = list.Next; page.Cursor == "" {
			break
		}
	}
	require.Equal(t, []int64{4, 3, 2, 1, 0}, found)

	all, err := r.DeadLetters(t.Context(), store.DeadLetterFilter{}, store.Page{Limit: 1})
	require.NoError(t, err)
	one, err := r.DeadLetter(t.Context(), all.Items[0].ID)
	require.NoError(t, err)
	require.Equal(t, all.Items[0], one)
	require.Equal(t, []byte(`nonsense`), one.Raw.Value)
	require.Equal(t, []event.Header{{Key: "trace\xff", Value: []byte{0, 1}}, {Key: "none"}}, one.Raw.Headers)
	none, err := r.DeadLetters(t.Context(), store.DeadLetterFilter{Topic: "other"}, store.Page{Limit: 1})
	require.NoError(t, err)
	require.Empty(t, none.Items)
}

func TestReadOffsetsAddUpAsTheyGrow(t *testing.T) {
	t.Parallel()
	s := newStore(t)
	s.begin(t, 2)
	r := s.reader(t)
	check := func(want ...store.Accounting) {
		t.Helper()
		got, err := r.Offsets(t.Context())
		require.NoError(t, err)
		require.Equal(t, want, got)
	}
	zero, other := store.Accounting{Partition: partition(0)}, store.Accounting{Partition: partition(1)}
	check(zero, other)

	s.appendAll(t, 0, given{n: 1, typ: "A", aggregate: "x", at: "2026-01-01T00:00:00Z"}, given{n: 2, typ: "A", aggregate: "x", at: "2026-01-01T00:00:00Z"})
	zero.NextOffset, zero.Stored = 2, 2
	check(zero, other)

	again := given{n: 1, typ: "A", aggregate: "x", at: "2026-01-01T00:00:00Z"}.value()
	_, err := s.Append(t.Context(), batch(t, map[int]int64{0: 2}, map[int]int64{0: 9}, raw(0, 2, again), raw(0, 3, `bad`)))
	require.NoError(t, err)
	zero.NextOffset, zero.Duplicates, zero.DeadLettered, zero.Absent = 9, 1, 1, 5
	check(zero, other)
	check(zero, other)
}

// TestFeedPassesNothingBy: whoever follows must not be led over positions by a batch that claims more, or
// fewer, than it has.
func TestFeedPassesNothingBy(t *testing.T) {
	t.Parallel()
	s := newStore(t)
	s.begin(t, 1)
	const at = "2026-11-23T10:00:00Z"
	for i := range 3 {
		n := 1 + 3*i
		s.appendAll(t, int64(3*i), given{n: n, typ: "a", aggregate: "x", at: at}, given{n: n + 1, typ: "a", aggregate: "x", at: at}, given{n: n + 2, typ: "a", aggregate: "x", at: at})
	}
	r := store.NewReader(store.ReaderOptions{Pool: openPool(t, s.url, "audittrail_api")})
	for _, count := range []int{2, 3, 5, 8, 1 << 30} {
		_, err := s.owner.Exec(t.Context(), `ALTER TABLE ledger_batches DISABLE TRIGGER ALL`)
		require.NoError(t, err)
		_, err = s.owner.Exec(t.Context(), `ALTER TABLE ledger_batches DROP CONSTRAINT IF EXISTS ledger_batches_check, DROP CONSTRAINT IF EXISTS ledger_batches_count_check`)
		require.NoError(t, err)
		_, err = s.owner.Exec(t.Context(), `UPDATE ledger_batches SET count = $1 WHERE first_position = 3`, count)
		require.NoError(t, err)
		for _, limit := range []int{1, 2, 3, 4, 100} {
			after, seen := int64(2), 0
			for {
				page, err := r.Feed(t.Context(), store.Filter{}, after, limit)
				if err != nil {
					require.NotEqual(t, 3, count)
					break
				}
				seen += len(page.Items)
				if page.ScannedTo == after {
					break
				}
				after = page.ScannedTo
			}
			switch {
			case count == 3:
				require.Equal(t, 6, seen)
			default:
				require.LessOrEqual(t, after, int64(5), "count %d, limit %d: led beyond the batch", count, limit)
			}
		}
	}
}
