package store_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"audittrail/modules/event"
	"audittrail/modules/migrate/migratetest"
	"audittrail/modules/protect"
	"audittrail/modules/protect/protecttest"
	"audittrail/modules/store"
)

// topicID is the id of the topic that a test's records come from.
var topicID = event.TopicID{1, 2, 3}

const topic = "orders"

// openPool opens a pool of a role on the test's database; "" is the login role.
func openPool(t testing.TB, url, role string) *pgxpool.Pool {
	t.Helper()
	config, err := pgxpool.ParseConfig(url)
	require.NoError(t, err)
	if role != "" {
		config.ConnConfig.RuntimeParams["role"] = role
	}
	config.ConnConfig.RuntimeParams["application_name"] = store.IngestApplication
	config.ConnConfig.RuntimeParams["lock_timeout"] = "5s"
	config.ConnConfig.RuntimeParams["idle_in_transaction_session_timeout"] = "5s"
	config.MaxConns = 8
	pool, err := pgxpool.NewWithConfig(t.Context(), config)
	require.NoError(t, err)
	t.Cleanup(pool.Close)
	return pool
}

// bench is an event store under test.
type testStore struct {
	*store.Appender
	owner *pgxpool.Pool // the superuser, for looking and for damage
	pool  *pgxpool.Pool
	url   string
}

func newStore(t testing.TB) testStore {
	t.Helper()
	url := migratetest.Database(t)
	s := testStore{owner: openPool(t, url, ""), pool: openPool(t, url, "audittrail_ingest"), url: url}
	s.Appender = store.NewAppender(store.AppenderOptions{Pool: s.pool, Breaker: s.owner})
	return s
}

// begin makes the offsets' rows of partitions 0 … n-1 at 0.
func (s testStore) begin(t testing.TB, n int) {
	t.Helper()
	var starts []store.PartitionStart
	for i := range n {
		starts = append(starts, store.PartitionStart{Partition: partition(i)})
	}
	offsets, err := s.EnsureOffsets(t.Context(), starts)
	require.NoError(t, err)
	require.Len(t, offsets, n)
}

func partition(n int) store.Partition {
	return store.Partition{TopicID: topicID, Topic: topic, Number: int32(n)}
}

// rules are what tests validate by.
var rules = event.Rules{MaxDepth: 64, MaxRecordBytes: 1 << 20, MaxFuture: 24 * time.Hour}

// record is an order event's record. Equal id and total give an equal event.
func record(p int, offset int64, id string, total int) event.Raw {
	value := fmt.Sprintf(`{"eventId":%q,"eventType":"OrderPlaced","aggregateId":"order-1","aggregateType":"Order",
		"timestamp":"2026-01-02T03:04:05.678901Z","version":1,"payload":{"total":%d},
		"metadata":{"correlationId":"c-1","userId":"u-1","source":"shop"}}`, id, total)
	return raw(p, offset, value)
}

func raw(p int, offset int64, value string) event.Raw {
	return event.Raw{
		Coordinates: event.Coordinates{TopicID: topicID, Topic: topic, Partition: int32(p), Offset: offset},
		Key:         []byte("order-1"), Value: []byte(value),
		Headers: []event.Header{{Key: "trace\xff", Value: []byte{0, 1}}, {Key: "none"}},
	}
}

// id is the n-th test event's id.
func id(n int) string { return fmt.Sprintf("00000000-0000-4000-8000-%012d", n) }

// batch builds a batch out of neighbouring records, deciding each as ingest does.
func batch(t testing.TB, from, to map[int]int64, records ...event.Raw) store.Batch {
	t.Helper()
	var b store.Batch
	seen := make(map[int]int64)
	for _, r := range records {
		seen[int(r.Partition)]++
		valid, rejected := decide(r)
		if rejected != nil {
			b.Rejected = append(b.Rejected, *rejected)
			continue
		}
		b.Events = append(b.Events, valid)
	}
	for p, end := range to {
		b.Ranges = append(b.Ranges, store.Range{
			Partition: partition(p), From: from[p], To: end, Absent: end - from[p] - seen[p], LeaderEpoch: 3,
		})
	}
	return b
}

func decide(r event.Raw) (protect.Sealed, *event.Rejected) {
	decoded, rejected := event.Decode(r)
	if rejected != nil {
		return protect.Sealed{}, rejected
	}
	valid, rejected := decoded.Validate(rules, time.Now())
	if rejected != nil {
		return protect.Sealed{}, rejected
	}
	return protecttest.Seal(valid), nil
}

// one builds a batch of partition 0 that begins at from.
func one(t testing.TB, from int64, records ...event.Raw) store.Batch {
	t.Helper()
	return batch(t, map[int]int64{0: from}, map[int]int64{0: from + int64(len(records))}, records...)
}

// count answers a count of the owner's.
func (s testStore) count(t testing.TB, sql string, args ...any) int {
	t.Helper()
	var n int
	require.NoError(t, s.owner.QueryRow(t.Context(), sql, args...).Scan(&n))
	return n
}

// balance checks, independently of the code under test, that history adds up: positions dense, ranges
// without gaps, each stored event in exactly one range and one batch, each offset explained.
func (s testStore) balance(t testing.TB) {
	t.Helper()
	ctx := context.Background()
	type row struct {
		First int64
		Count int
		Batch int64
	}
	rows, err := s.owner.Query(ctx, `SELECT first_position, count, batch FROM ledger_batches WHERE log = 'events' ORDER BY first_position`)
	require.NoError(t, err)
	batches, err := pgx.CollectRows(rows, pgx.RowToStructByPos[row])
	require.NoError(t, err)
	next := int64(0)
	for _, b := range batches {
		require.Equal(t, next, b.First, "positions are dense")
		require.Equal(t, b.Count, s.count(t, `SELECT count(*) FROM events WHERE id BETWEEN $1 AND $2`, b.Batch<<14, b.Batch<<14|int64(b.Count-1)))
		require.Equal(t, b.Count, s.count(t, `SELECT count(*) FROM event_keys WHERE batch = $1`, b.Batch))
		require.Equal(t, b.Count, s.count(t, `SELECT coalesce(sum(stored), 0) FROM ingest_ranges WHERE batch = $1`, b.Batch))
		next += int64(b.Count)
	}
	require.EqualValues(t, next, s.count(t, `SELECT count(*) FROM events`), "every event has a position")
	require.EqualValues(t, next, s.count(t, `SELECT count(*) FROM event_keys`), "every key has an event")
	require.EqualValues(t, next, s.count(t, `SELECT count(DISTINCT event_id) FROM events`), "every event is stored once")
	require.Zero(t, s.count(t, `SELECT count(*) FROM (SELECT from_offset, lag(to_offset) OVER (PARTITION BY topic_id, partition ORDER BY from_offset) AS before
		FROM ingest_ranges) AS r WHERE before <> from_offset`), "ranges have no gaps")
	require.Zero(t, s.count(t, `SELECT count(*) FROM ingest_offsets AS o WHERE next_offset - first_offset <>
		(SELECT coalesce(sum(to_offset - from_offset), 0) FROM ingest_ranges AS r WHERE r.topic_id = o.topic_id AND r.partition = o.partition)`), "ranges reach to the next offset")
	require.Equal(t, s.count(t, `SELECT count(*) FROM dead_letters`), s.count(t, `SELECT coalesce(sum(dead_lettered), 0) FROM ingest_ranges`), "dead letters are accounted for")
	require.Equal(t, s.count(t, `SELECT count(*) FROM dead_letters`), s.count(t, `SELECT count(*) FROM dead_letter_outbox`), "dead letters are queued")
}
