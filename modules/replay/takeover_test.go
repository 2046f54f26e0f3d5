package replay_test

import (
	"bufio"
	"compress/gzip"
	"context"
	"errors"
	"net/http"
	"os"
	"strconv"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kgo"

	"audittrail/modules/replay"
	"audittrail/modules/store"
	"audittrail/platform/kafkatest"
)

// mortal is a job store that stops answering after some renewals, as if its process had died then: what was sent after
// the last one is sent again by somebody else.
type mortal struct {
	replay.Jobs
	renewals atomic.Int64 // that are left
	died     atomic.Bool
}

var errDead = errors.New("dead")

func (m *mortal) Renew(ctx context.Context, c *store.ReplayClaim, p store.ReplayProgress) (store.ReplayAsked, error) {
	if p.Sent > c.Sent && m.renewals.Add(-1) < 0 {
		m.died.Store(true)
	}
	if m.died.Load() {
		return store.ReplayAsked{}, errDead
	}
	return m.Jobs.Renew(ctx, c, p)
}

func (m *mortal) Claim(ctx context.Context) (store.ReplayClaim, bool, error) {
	if m.died.Load() {
		return store.ReplayClaim{}, false, errDead
	}
	return m.Jobs.Claim(ctx)
}

func (m *mortal) End(ctx context.Context, c *store.ReplayClaim, state store.ReplayState, p store.ReplayProgress) error {
	if m.died.Load() {
		return errDead
	}
	return m.Jobs.End(ctx, c, state, p)
}

// shortLease has a job taken over soon.
func (s *system) shortLease(d *replay.Dependencies) {
	d.Lease = time.Second
	d.Jobs = store.NewReplayWork(openPool(s.t, s.database, "audittrail_replay"), d.Lease)
}

// numberOf is a size that an environment variable may set.
func numberOf(t *testing.T, variable string, otherwise int) int {
	t.Helper()
	text := os.Getenv(variable)
	if text == "" {
		return otherwise
	}
	n, err := strconv.Atoi(text)
	require.NoError(t, err, variable)
	return n
}

// appendMany stores the events of the NDJSON file that REPLAY_FILE names (gzip), or else REPLAY_EVENTS orders.
func (s *system) appendMany() (n int) {
	t := s.t
	t.Helper()
	path := os.Getenv("REPLAY_FILE")
	if path == "" {
		n := numberOf(t, "REPLAY_EVENTS", 3000)
		s.append(n)
		return n
	}
	file, err := os.Open(path)
	require.NoError(t, err)
	defer file.Close()
	unpacked, err := gzip.NewReader(file)
	require.NoError(t, err)
	var values []string
	for lines := bufio.NewScanner(unpacked); lines.Scan(); {
		values = append(values, lines.Text())
	}
	s.append(0, values...)
	return len(values)
}

// Five workers die on the way, each with events that were sent and not noted down.
func TestReplayWithDeaths(t *testing.T) {
	t.Parallel()
	s := newSystem(t)
	s.replayWithDeaths("copy", s.appendMany())
}

// The same into a real Kafka.
func TestReplayWithDeathsIntoKafka(t *testing.T) {
	t.Parallel()
	kafka := kafkatest.Shared(t)
	s := newSystem(t, func(set *settings) { set.brokers = kafka.Brokers })
	s.replayWithDeaths(kafka.Topic("replayed", 3), s.appendMany())
}

func (s *system) replayWithDeaths(topic string, n int) {
	t := s.t
	t.Helper()
	// The rate cuts what is sent into pieces, so that there is something to die in.
	body := `{"target":{"type":"kafka","topic":"` + topic + `"},"reason":"test","speed":{"maxPerSecond":` + strconv.Itoa(max(n, 3000)) + `},"confirmCount":` + strconv.Itoa(n) + `}`
	id := s.start(body)
	for range 5 {
		m := &mortal{}
		m.renewals.Store(2)
		s.work(s.shortLease, func(d *replay.Dependencies) { m.Jobs = d.Jobs; d.Jobs = m })
		require.Eventually(t, func() bool {
			return m.died.Load() || s.ask(http.MethodGet, "/v1/replays/"+id, "").body["state"] == "completed"
		}, patience, 10*time.Millisecond)
	}
	s.work(s.shortLease)
	done := s.until(id, "completed")
	require.Equal(t, strconv.Itoa(n), done["sent"].(interface{ String() string }).String())
	records := s.consumeAll(topic)
	t.Logf("%d events, %d records, %d repeats", n, len(records), len(records)-n)
	require.Greater(t, len(records), n, "each death leaves events that are sent again")
	s.requireDelivered(records, s.all())
	requireOneWriter(t, records)
}

// requireOneWriter checks that none wrote again after another one had begun: Kafka numbers the writers of a
// transactional id.
func requireOneWriter(t *testing.T, records []*kgo.Record) {
	t.Helper()
	type writer struct {
		id    int64
		epoch int16
	}
	last, order := map[int32]writer{}, map[writer]map[writer]bool{}
	for _, r := range records {
		w := writer{r.ProducerID, r.ProducerEpoch}
		if before, ok := last[r.Partition]; ok && before != w {
			require.False(t, order[w][before], "%v writes again after %v", w, before)
			if order[before] == nil {
				order[before] = map[writer]bool{}
			}
			order[before][w] = true
		}
		last[r.Partition] = w
	}
}

// A process that was frozen finds out that another one has its job, and sends nothing more.
func TestAFrozenWorkerSendsNothingMore(t *testing.T) {
	t.Parallel()
	s := newSystem(t)
	s.append(2000)
	id := s.start(`{"target":{"type":"kafka","topic":"copy"},"reason":"test","speed":{"maxPerSecond":1000}}`)
	f := &frozen{thaw: make(chan struct{}), froze: make(chan struct{})}
	s.work(s.shortLease, func(d *replay.Dependencies) { f.Jobs = d.Jobs; d.Jobs = f })
	select {
	case <-f.froze:
	case <-time.After(patience):
		t.Fatal("the worker never sent anything")
	}
	s.work(s.shortLease)
	require.Eventually(t, func() bool {
		got := s.ask(http.MethodGet, "/v1/replays/"+id, "").body
		sent, _ := got["sent"].(interface{ Int64() (int64, error) }).Int64()
		return sent > 300
	}, patience, 10*time.Millisecond)
	close(f.thaw)
	s.until(id, "completed")
	records := s.consume("copy", 2000)
	s.requireDelivered(records, s.all())
	requireOneWriter(t, records)
	require.True(t, f.lost.Load(), "it was told that its lease was lost")
}

// frozen is a job store that hangs once something was sent.
type frozen struct {
	replay.Jobs
	thaw, froze chan struct{}
	once        atomic.Bool
	lost        atomic.Bool
}

func (f *frozen) Renew(ctx context.Context, c *store.ReplayClaim, p store.ReplayProgress) (store.ReplayAsked, error) {
	if p.Sent > 100 && f.once.CompareAndSwap(false, true) {
		close(f.froze)
		<-f.thaw
		ctx = context.WithoutCancel(ctx) // whose time is over by then, which would hide what is asked here
	}
	asked, err := f.Jobs.Renew(ctx, c, p)
	if errors.Is(err, store.ErrLeaseLost) {
		f.lost.Store(true)
	}
	return asked, err
}

func TestPauseResumeAndCancel(t *testing.T) {
	t.Parallel()
	s := newSystem(t)
	s.append(600)
	s.work()
	body := `{"target":{"type":"kafka","topic":"copy"},"reason":"test","speed":{"maxPerSecond":100}}`
	id := s.start(body)
	sent := func() int64 {
		n, err := s.ask(http.MethodGet, "/v1/replays/"+id, "").body["sent"].(interface{ Int64() (int64, error) }).Int64()
		require.NoError(t, err)
		return n
	}
	require.Eventually(t, func() bool { return sent() > 0 }, patience, 10*time.Millisecond)
	require.Equal(t, 200, s.ask(http.MethodPost, "/v1/replays/"+id+"/pause", "").status)
	s.until(id, "paused")
	require.Equal(t, 200, s.ask(http.MethodPost, "/v1/replays/"+id+"/pause", "").status, "it is already")
	stopped := sent()
	require.Less(t, stopped, int64(600))
	second := s.start(body) // the target is free
	s.until(second, "running")
	require.Equal(t, 200, s.ask(http.MethodPost, "/v1/replays/"+id+"/resume", "").status)
	require.Equal(t, "pending", s.ask(http.MethodGet, "/v1/replays/"+id, "").body["state"], "one job a target")
	require.Equal(t, stopped, sent())
	require.Equal(t, 200, s.ask(http.MethodPost, "/v1/replays/"+second+"/cancel", "").status)
	s.until(second, "cancelled")
	for _, action := range []string{"pause", "resume", "retry"} {
		got := s.ask(http.MethodPost, "/v1/replays/"+second+"/"+action, "")
		require.Equal(t, []any{409, "replay_state"}, []any{got.status, got.body["code"]}, action)
	}
	s.until(id, "running")
	require.Eventually(t, func() bool { return sent() > stopped }, patience, 10*time.Millisecond)
	require.Equal(t, 200, s.ask(http.MethodPost, "/v1/replays/"+id+"/cancel", "").status)
	s.until(id, "cancelled")

	third := s.start(body)
	s.until(third, "running")
	s.ask(http.MethodPost, "/v1/replays/"+third+"/cancel", "")
	s.until(third, "cancelled")
}

// What no worker has begun is paused and cancelled without one.
func TestPendingJobsNeedNoWorker(t *testing.T) {
	t.Parallel()
	s := newSystem(t)
	s.append(1)
	id := s.start(`{"target":{"type":"kafka","topic":"copy"},"reason":"test"}`)
	require.Equal(t, "paused", s.ask(http.MethodPost, "/v1/replays/"+id+"/pause", "").body["state"])
	require.Equal(t, "pending", s.ask(http.MethodPost, "/v1/replays/"+id+"/resume", "").body["state"])
	got := s.ask(http.MethodPost, "/v1/replays/"+id+"/cancel", "")
	require.Equal(t, "cancelled", got.body["state"])
	require.NotNil(t, got.body["finishedAt"])
	require.Equal(t, 200, s.ask(http.MethodPost, "/v1/replays/"+id+"/cancel", "").status)
	s.work()
	other := s.start(`{"target":{"type":"kafka","topic":"copy"},"reason":"test"}`)
	s.until(other, "completed")
	require.Equal(t, "cancelled", s.ask(http.MethodGet, "/v1/replays/"+id, "").body["state"])
	require.Len(t, s.consume("copy", 1), 1)
}
