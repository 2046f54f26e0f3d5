package replay_test

import (
	"bufio"
	"compress/gzip"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kgo"

	"audittrail/modules/event"
	"audittrail/modules/replay"
)

// requireDelivered checks that records are the events: each at least once, in order within an aggregate where repeats
// are left out.
func (s *system) requireDelivered(records []*kgo.Record, want []event.Stored) {
	s.t.Helper()
	got := map[int64]*kgo.Record{}
	last := map[string]int64{}
	for _, r := range records {
		position, err := strconv.ParseInt(header(r, "audittrail-position"), 10, 64)
		require.NoError(s.t, err)
		if got[position] == nil {
			require.Greater(s.t, position, last[string(r.Key)]-1, "the order of %s", r.Key)
			last[string(r.Key)] = position + 1
		}
		got[position] = r
	}
	require.Len(s.t, got, len(want))
	for i := range want {
		e := &want[i]
		r := got[e.Position]
		require.NotNil(s.t, r, "position %d", e.Position)
		require.Equal(s.t, e.AggregateID, string(r.Key))
		require.Equal(s.t, e.ID.String(), header(r, "audittrail-event-id"))
		require.Equal(s.t, e.Digest(), decoded(s.t, r.Value).Digest())
		require.WithinDuration(s.t, time.Now(), r.Timestamp, time.Hour, "the time of sending")
	}
}

func decoded(t testing.TB, value []byte) *event.Event {
	t.Helper()
	d, rejected := event.Decode(event.Raw{Value: value})
	require.Nil(t, rejected)
	valid, rejected := d.Validate(event.DefaultRules(), time.Now())
	require.Nil(t, rejected)
	return valid.Event()
}

func TestReplayIntoKafka(t *testing.T) {
	t.Parallel()
	s := newSystem(t)
	s.append(500)
	preview := s.ask(http.MethodPost, "/v1/replays", `{"filter":{"eventType":["OrderPaid"]},"target":{"type":"kafka","topic":"copy"},"reason":"test","dryRun":true}`)
	require.Equal(t, http.StatusOK, preview.status, preview.body)
	require.Equal(t, "250", preview.body["total"].(interface{ String() string }).String())

	id := s.start(`{"filter":{"eventType":["OrderPaid"]},"target":{"type":"kafka","topic":"copy"},"reason":"test","confirmCount":250}`)
	s.append(10) // which came later
	s.work()
	done := s.until(id, "completed")
	require.Equal(t, "250", done["sent"].(interface{ String() string }).String())
	var want []event.Stored
	for _, e := range s.all()[:500] {
		if e.Type == "OrderPaid" {
			want = append(want, e)
		}
	}
	records := s.consume("copy", 250)
	s.requireDelivered(records, want)
	require.Equal(t, id, header(records[0], "audittrail-replay-id"))
}

func TestReplayIntoAFile(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	s := newSystem(t, func(set *settings) {
		set.options.Targets = []replay.TargetOptions{{Type: "file", Folder: folder}}
	})
	s.append(100)
	s.work()
	s.until(s.start(`{"target":{"type":"file","name":"all.ndjson.gz"},"reason":"test"}`), "completed")
	file, err := os.Open(filepath.Join(folder, "all.ndjson.gz"))
	require.NoError(t, err)
	defer func() { _ = file.Close() }()
	unzipped, err := gzip.NewReader(file)
	require.NoError(t, err)
	lines := bufio.NewScanner(unzipped)
	all := s.all()
	for i := range all {
		require.True(t, lines.Scan())
		require.Equal(t, all[i].Digest(), decoded(t, lines.Bytes()).Digest())
	}
	require.False(t, lines.Scan())

	again := s.start(`{"target":{"type":"file","name":"all.ndjson.gz"},"reason":"test"}`)
	failed := s.until(again, "failed")
	require.Contains(t, failed["error"], "never overwrites")
	left, err := os.ReadDir(folder)
	require.NoError(t, err)
	require.Len(t, left, 1, "nothing of a temporary name is left")
}
