package store_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"audittrail/modules/event"
	"audittrail/modules/store"
)

func TestAppendStoresABatch(t *testing.T) {
	t.Parallel()
	s := newStore(t)
	s.begin(t, 1)
	receipt, err := s.Append(t.Context(), one(t, 0, record(0, 0, id(1), 1), record(0, 1, id(2), 2)))
	require.NoError(t, err)
	require.Equal(t, store.Receipt{First: 0, Stored: 2, Outcomes: []store.Outcome{{Partition: partition(0), Stored: 2}}}, receipt)
	receipt, err = s.Append(t.Context(), one(t, 2, record(0, 2, id(3), 1)))
	require.NoError(t, err)
	require.Equal(t, 1, receipt.Stored)
	require.EqualValues(t, 2, receipt.First)

	require.Equal(t, 1, s.count(t, `SELECT count(*) FROM events WHERE event_id = $1 AND event_type = 'OrderPlaced'
		AND aggregate_type = 'Order' AND aggregate_id = 'order-1' AND timestamp = '2026-01-02T03:04:05.678901Z' AND version = 1
		AND payload = '{"total": 2}' AND metadata ->> 'userId' = 'u-1' AND kafka_topic = 'orders' AND kafka_partition = 0
		AND kafka_offset = 1 AND length(salt) = 16`, id(2)))
	require.Equal(t, 3, s.count(t, `SELECT count(DISTINCT salt) FROM events`), "each event has its own salt")
	require.Equal(t, 1, s.count(t, `SELECT count(*) FROM ingest_offsets WHERE next_offset = 3 AND leader_epoch = 3`))
	s.balance(t)
}

func TestAppendJudgesRepeats(t *testing.T) {
	t.Parallel()
	placed := func(offset int64, n, total int) event.Raw { return record(0, offset, id(n), total) }
	tests := map[string]struct {
		records []event.Raw // after events 1 and 2 with total 1 were stored at offsets 0 and 1
		want    store.Receipt
	}{
		"repeats inside":         {[]event.Raw{placed(2, 3, 1), placed(3, 3, 1), placed(4, 4, 1)}, store.Receipt{First: 2, Stored: 2, Duplicates: 1}},
		"half duplicates":        {[]event.Raw{placed(2, 1, 1), placed(3, 3, 1), placed(4, 2, 1), placed(5, 4, 1)}, store.Receipt{First: 2, Stored: 2, Duplicates: 2}},
		"nothing but duplicates": {[]event.Raw{placed(2, 1, 1), placed(3, 2, 1), placed(4, 2, 1)}, store.Receipt{First: -1, Duplicates: 3}},
		"nothing but rejects":    {[]event.Raw{raw(0, 2, `{`), raw(0, 3, ``)}, store.Receipt{First: -1, DeadLettered: 2}},
		"a conflict":             {[]event.Raw{placed(2, 1, 9), placed(3, 3, 1)}, store.Receipt{First: 2, Stored: 1, DeadLettered: 1, Conflicts: 1}},
		"a conflict inside":      {[]event.Raw{placed(2, 3, 1), placed(3, 3, 2), placed(4, 3, 1)}, store.Receipt{First: 2, Stored: 1, Duplicates: 1, DeadLettered: 1, Conflicts: 1}},
		"all against the winner": {[]event.Raw{placed(2, 1, 9), placed(3, 1, 9), placed(4, 1, 1)}, store.Receipt{First: -1, Duplicates: 1, DeadLettered: 2, Conflicts: 2}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			s := newStore(t)
			s.begin(t, 1)
			_, err := s.Append(t.Context(), one(t, 0, placed(0, 1, 1), placed(1, 2, 1)))
			require.NoError(t, err)
			got, err := s.Append(t.Context(), one(t, 2, test.records...))
			require.NoError(t, err)
			test.want.Outcomes = []store.Outcome{{
				Partition: partition(0), Stored: test.want.Stored, Duplicates: test.want.Duplicates, DeadLettered: test.want.DeadLettered,
			}}
			require.Equal(t, test.want, got)
			s.balance(t)
			_, err = s.Append(t.Context(), one(t, int64(2+len(test.records)), placed(int64(2+len(test.records)), 99, 1)))
			require.NoError(t, err, "the log goes on behind it")
			s.balance(t)
		})
	}
}

func TestAppendKeepsDeadLettersWhole(t *testing.T) {
	t.Parallel()
	s := newStore(t)
	s.begin(t, 1)
	bad := raw(0, 0, "{\x00\xff")
	bad.Time = time.Date(2026, 1, 2, 3, 4, 5, 6_000_000, time.UTC)
	_, err := s.Append(t.Context(), one(t, 0, bad))
	require.NoError(t, err)
	outbox := store.NewOutbox(s.pool)
	letters, err := outbox.Next(t.Context(), 0, nil, 10)
	require.NoError(t, err)
	require.Len(t, letters, 1)
	require.Equal(t, bad, letters[0].Raw)
	require.Equal(t, event.MalformedJSON, letters[0].Reason)

	skipped, err := outbox.Next(t.Context(), 0, []string{topic}, 10)
	require.NoError(t, err)
	require.Empty(t, skipped)
	require.NoError(t, outbox.Published(t.Context(), []int64{letters[0].ID}))
	letters, err = outbox.Next(t.Context(), 0, nil, 10)
	require.NoError(t, err)
	require.Empty(t, letters)
}

func TestOutboxBoundsItsBytes(t *testing.T) {
	t.Parallel()
	s := newStore(t)
	s.begin(t, 1)
	big := strings.Repeat("x", 5<<20)
	_, err := s.Append(t.Context(), one(t, 0, raw(0, 0, big), raw(0, 1, big), raw(0, 2, "x")))
	require.NoError(t, err)
	letters, err := store.NewOutbox(s.pool).Next(t.Context(), 0, nil, 10)
	require.NoError(t, err)
	require.Len(t, letters, 1, "two would be more than 8 MiB")
}

func TestOutboxHasOneLeader(t *testing.T) {
	t.Parallel()
	s := newStore(t)
	outbox := store.NewOutbox(s.pool)
	lead, ok, err := outbox.TryLead(t.Context())
	require.NoError(t, err)
	require.True(t, ok)
	require.NoError(t, lead.Check(t.Context()))
	_, ok, err = outbox.TryLead(t.Context())
	require.NoError(t, err)
	require.False(t, ok)
	lead.Close(t.Context())
	require.Eventually(t, func() bool {
		second, ok, err := outbox.TryLead(t.Context())
		if ok {
			second.Close(t.Context())
		}
		return ok && err == nil
	}, 5*time.Second, 10*time.Millisecond)
}

func TestAppendRefusesABatchThatDoesNotAddUp(t *testing.T) {
	t.Parallel()
	s := newStore(t)
	s.begin(t, 2)
	good := one(t, 0, record(0, 0, id(1), 1))
	for name, spoil := range map[string]func(*store.Batch){
		"an offset unexplained": func(b *store.Batch) { b.Ranges[0].To++ },
		"an offset too many":    func(b *store.Batch) { b.Ranges[0].Absent++ },
		"record out of range":   func(b *store.Batch) { b.Ranges[0].From, b.Ranges[0].To = 1, 2 },
		"record of no range":    func(b *store.Batch) { b.Ranges[0].Number = 1 },
		"partition twice":       func(b *store.Batch) { b.Ranges = append(b.Ranges, b.Ranges[0]) },
		"empty range":           func(b *store.Batch) { b.Ranges[0].To = b.Ranges[0].From },
		"negative absent":       func(b *store.Batch) { b.Ranges[0].Absent = -1 },
	} {
		t.Run(name, func(t *testing.T) {
			b := good
			b.Ranges = append([]store.Range(nil), good.Ranges...)
			spoil(&b)
			_, err := s.Append(t.Context(), b)
			require.Error(t, err)
			require.Zero(t, s.count(t, `SELECT count(*) FROM events`))
		})
	}
}

func TestFenceKeepsZombiesOut(t *testing.T) {
	t.Parallel()
	s := newStore(t)
	s.begin(t, 2)
	mine := batch(t, map[int]int64{}, map[int]int64{0: 1, 1: 1}, record(0, 0, id(1), 1), record(1, 0, id(2), 1))
	_, err := s.Append(t.Context(), one(t, 0, record(0, 0, id(1), 1), record(0, 1, id(3), 1)))
	require.NoError(t, err)

	got, err := s.Append(t.Context(), mine)
	require.NoError(t, err)
	require.Equal(t, []store.Lost{{Partition: partition(0), NextOffset: 2}}, got.Lost)
	require.Equal(t, 1, got.Stored, "the other partition is stored")

	again, err := s.Append(t.Context(), batch(t, map[int]int64{}, map[int]int64{1: 1}, record(1, 0, id(2), 1)))
	require.NoError(t, err)
	require.Equal(t, []store.Partition{partition(1)}, again.Already)
	require.Equal(t, []store.Outcome{{Partition: partition(1), Stored: 1}}, again.Outcomes, "what the earlier try made of it")
	require.Empty(t, again.Lost)

	// Others came to the same offset by another batch: not ours, though the end is the same.
	got, err = s.Append(t.Context(), batch(t, map[int]int64{0: 1}, map[int]int64{0: 2}, record(0, 1, id(9), 1)))
	require.NoError(t, err)
	require.Equal(t, []store.Lost{{Partition: partition(0), NextOffset: 2}}, got.Lost)
	require.Empty(t, got.Already)

	unknown := partition(1)
	unknown.TopicID = event.TopicID{9}
	lost := store.Batch{Ranges: []store.Range{{Partition: unknown, To: 5, Absent: 5}}}
	got, err = s.Append(t.Context(), lost)
	require.NoError(t, err)
	require.Equal(t, []store.Lost{{Partition: unknown, NextOffset: -1, Recreated: topicID}}, got.Lost)
	s.balance(t)
}

func TestRecreatedTopicIsNotReadUntilAdmitted(t *testing.T) {
	t.Parallel()
	s := newStore(t)
	s.begin(t, 1)
	again := store.PartitionStart{Partition: partition(0), Start: 7}
	again.TopicID = event.TopicID{9}
	offsets, err := s.EnsureOffsets(t.Context(), []store.PartitionStart{again})
	require.NoError(t, err)
	require.Equal(t, topicID, offsets[again.Partition].Recreated)
	require.NoError(t, s.AdmitTopic(t.Context(), topic, again.TopicID, "operator"))
	offsets, err = s.EnsureOffsets(t.Context(), []store.PartitionStart{again})
	require.NoError(t, err)
	require.Equal(t, store.Offset{Position: store.Position{Log: again.TopicID, FirstOffset: 7, NextOffset: 7, LeaderEpoch: -1, CutEnd: -1}}, offsets[again.Partition])
}

func TestAppendSeparatesWhatPostgreSQLRefuses(t *testing.T) {
	t.Parallel()
	s := newStore(t)
	s.begin(t, 1)
	_, err := s.owner.Exec(t.Context(), `ALTER TABLE events ADD CHECK (payload <> '{"total": 13}') NOT VALID`)
	require.NoError(t, err)
	var records []event.Raw
	for n := range 20 {
		records = append(records, record(0, int64(n), id(n+1), n))
	}
	records = append(records, raw(0, 20, `[]`))
	got, err := s.Append(t.Context(), one(t, 0, records...))
	require.NoError(t, err)
	require.Equal(t, 19, got.Stored)
	require.Equal(t, 2, got.DeadLettered)
	require.Equal(t, 1, s.count(t, `SELECT count(*) FROM dead_letters WHERE reason = 'store_rejected' AND "offset" = 13`))
	s.balance(t)
}

func TestAppendMakesPartitions(t *testing.T) {
	t.Parallel()
	s := newStore(t)
	s.begin(t, 1)
	_, err := s.owner.Exec(t.Context(), `ALTER TABLE events DETACH PARTITION events_2018; DROP TABLE events_2018`)
	require.NoError(t, err)
	at := func(offset int64, when string) event.Raw {
		r := record(0, offset, id(int(offset)+1), 1)
		r.Value = []byte(strings.Replace(string(r.Value), "2026-01-02T03:04:05.678901Z", when, 1))
		return r
	}
	got, err := s.Append(t.Context(), one(t, 0, at(0, "1900-01-01T00:00:00Z"), at(1, "1948-05-06T07:08:09Z"),
		at(2, "2018-02-28T23:59:59.999999Z"), at(3, "2018-12-31T23:59:59.999999-00:01")))
	require.NoError(t, err)
	require.Equal(t, 4, got.Stored)

	// Gone again behind the appender's back.
	_, err = s.owner.Exec(t.Context(), `ALTER TABLE events DETACH PARTITION events_2018; ALTER TABLE events_2018 RENAME TO archived`)
	require.NoError(t, err)
	got, err = s.Append(t.Context(), one(t, 4, at(4, "2018-03-01T00:00:00Z")))
	require.NoError(t, err)
	require.Equal(t, 1, got.Stored)
}

// TestConcurrentAppends: many appenders with overlapping event ids neither deadlock nor store one
// twice, and positions stay dense.
func TestConcurrentAppends(t *testing.T) {
	t.Parallel()
	s := newStore(t)
	const partitions, batches, size = 4, 15, 40
	s.begin(t, partitions)
	var group sync.WaitGroup
	errs := make([]error, partitions)
	for p := range partitions {
		group.Go(func() {
			for b := range batches {
				var records []event.Raw
				for i := range size {
					n := b*size + i
					if p%2 == 1 { // half of the writers send them backwards
						n = (b+1)*size - i
					}
					records = append(records, record(p, int64(b*size+i), id(n), 1))
				}
				from := map[int]int64{p: int64(b * size)}
				if _, err := s.Append(context.Background(), batch(t, from, map[int]int64{p: int64((b + 1) * size)}, records...)); err != nil {
					errs[p] = err
					return
				}
			}
		})
	}
	group.Wait()
	require.NoError(t, errors.Join(errs...))
	require.Equal(t, batches*size+1, s.count(t, `SELECT count(*) FROM events`))
	s.balance(t)
}

// TestAppendSurvivesBrokenConnections cuts the connection after every possible number of bytes of the
// server's answers, COMMIT's among them. The same batch, sent again, is stored exactly once.
func TestAppendSurvivesBrokenConnections(t *testing.T) {
	t.Parallel()
	s := newStore(t)
	s.begin(t, 1)
	cutter := newCutter(t, s.url)
	config, err := pgxpool.ParseConfig(s.url)
	require.NoError(t, err)
	config.ConnConfig.Host, config.ConnConfig.Port = "127.0.0.1", cutter.port
	config.ConnConfig.RuntimeParams["role"] = "audittrail_ingest"
	config.ConnConfig.Fallbacks = nil
	pool, err := pgxpool.NewWithConfig(t.Context(), config)
	require.NoError(t, err)
	defer pool.Close()
	appender := store.NewAppender(store.AppenderOptions{Pool: pool})

	lostAnswers, offset := 0, int64(0)
	for cut := 0; ; cut += 23 {
		b := one(t, offset, record(0, offset, id(int(offset)+1), 1), raw(0, offset+1, `{`))
		cutter.arm(-1)
		require.NoError(t, pool.Ping(t.Context()))
		cutter.arm(cut)
		_, err := appender.Append(t.Context(), b)
		survived := err == nil
		cutter.arm(-1)
		if !survived {
			receipt, err := appender.Append(t.Context(), b)
			require.NoError(t, err)
			if len(receipt.Already) > 0 {
				lostAnswers++
			}
		}
		offset += 2
		require.EqualValues(t, offset/2, s.count(t, `SELECT count(*) FROM events`))
		if survived {
			break
		}
	}
	require.Positive(t, lostAnswers, "COMMIT's answer was among what was cut")
	s.balance(t)
}

// TestStalledTransactionIsEnded: a process that holds a fence and answers nothing is ended by the one
// that waits for it.
func TestStalledTransactionIsEnded(t *testing.T) {
	t.Parallel()
	s := newStore(t)
	s.begin(t, 1)
	stalled := openPool(t, s.url, "audittrail_ingest")
	conn, err := stalled.Acquire(t.Context())
	require.NoError(t, err)
	defer conn.Release()
	// As in mid-COPY: busy, from the server's view, so that no idle timeout ends it.
	_, err = conn.Exec(t.Context(), `BEGIN; UPDATE ingest_offsets SET next_offset = 1 WHERE partition = 0`)
	require.NoError(t, err)
	ended := make(chan error, 1)
	go func() {
		_, err := conn.Exec(context.Background(), `SELECT pg_sleep(60)`)
		ended <- err
	}()
	begin := time.Now()
	s.begin(t, 1)
	require.Less(t, time.Since(begin), 2*time.Second, "who takes the partition over reads its offset without waiting")
	b := one(t, 0, record(0, 0, id(1), 1))
	deadline := time.Now().Add(25 * time.Second)
	for {
		receipt, err := s.Append(t.Context(), b)
		if err == nil {
			require.Equal(t, 1, receipt.Stored)
			break
		}
		var pg *pgconn.PgError
		require.ErrorAs(t, err, &pg)
		require.Equal(t, "55P03", pg.Code, "lock_timeout, and nothing else, makes it try again")
		require.Less(t, time.Now(), deadline)
	}
	require.ErrorContains(t, <-ended, "57P01")
	s.balance(t)
}

// cutter is a TCP proxy that cuts the connection after so many bytes of the server's.
type cutter struct {
	port uint16
	mu   sync.Mutex
	left int // bytes until the cut; -1 for none
}

func newCutter(t *testing.T, url string) *cutter {
	t.Helper()
	config, err := pgconn.ParseConfig(url)
	require.NoError(t, err)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	t.Cleanup(func() { listener.Close() })
	c := &cutter{port: uint16(listener.Addr().(*net.TCPAddr).Port), left: -1}
	go func() {
		for {
			client, err := listener.Accept()
			if err != nil {
				return
			}
			server, err := net.Dial("tcp", net.JoinHostPort(config.Host, fmt.Sprint(config.Port)))
			if err != nil {
				client.Close()
				continue
			}
			go func() { defer server.Close(); pipe(server, client, nil) }()
			go func() { defer client.Close(); defer server.Close(); pipe(client, server, c) }()
		}
	}()
	return c
}

func (c *cutter) arm(after int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.left = after
}

// allow answers how many of n bytes may pass.
func (c *cutter) allow(n int) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.left < 0 {
		return n
	}
	n = min(n, c.left)
	c.left -= n
	return n
}

func pipe(to, from net.Conn, c *cutter) {
	buffer := make([]byte, 4096)
	for {
		n, err := from.Read(buffer)
		allowed := n
		if c != nil {
			allowed = c.allow(n)
		}
		if _, werr := to.Write(buffer[:allowed]); werr != nil || err != nil || allowed < n {
			return
		}
	}
}
