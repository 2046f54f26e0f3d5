package store

import (
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

// newSet is replicas that nobody looks at: the test says what is known of them.
func newSet(t *testing.T, n int) *Replicas {
	t.Helper()
	pool, err := pgxpool.New(t.Context(), "host=127.0.0.1 port=1 pool_max_conns=4") // connects to nothing yet
	require.NoError(t, err)
	t.Cleanup(pool.Close)
	o := ReplicaOptions{Primary: pool, MaxLag: time.Second}
	for range n {
		o.Replicas = append(o.Replicas, Replica{Name: string(rune('a' + len(o.Replicas))), Pool: pool})
	}
	s, err := NewReplicas(o)
	require.NoError(t, err)
	return s
}

func TestRequestsGoWhereFewestAre(t *testing.T) {
	t.Parallel()
	s := newSet(t, 2)
	r, leave := s.take(t.Context(), -1)
	require.Nil(t, r, "nobody has looked yet")
	leave()
	for _, one := range s.all {
		s.found(one, 5)
		one.since = time.Now().Add(-time.Hour)
	}
	for range 8 {
		_, leave := s.take(t.Context(), 5)
		defer leave()
	}
	require.Equal(t, []int{4, 4}, []int{s.all[0].under, s.all[1].under})
	r, leave = s.take(t.Context(), 5)
	require.Nil(t, r, "all connections of the replicas are busy, and the primary's are not")
	leave()
	require.Zero(t, s.onPrimary)
	s.lost(s.all[0])
	_, most := s.pick(6)
	require.True(t, most, "the other one may have it soon")
	s.lost(s.all[1])
	_, most = s.pick(6)
	require.False(t, most)
}

// A replica that comes back does not get the whole load at once.
func TestReplicasComeBackSlowly(t *testing.T) {
	t.Parallel()
	s := newSet(t, 1)
	s.found(s.all[0], 5)
	now := s.all[0].since
	for steps, want := range []int{1, 2, 4, 8} {
		require.Equal(t, want, s.all[0].allowed(now.Add(time.Duration(steps)*slowStart)))
	}
	require.Greater(t, s.all[0].allowed(now.Add(time.Hour)), 1000)
	reads, stop := s.all[0].while(t.Context(), s)
	defer stop()
	s.lost(s.all[0])
	<-reads.Done() // what is under way goes on at the primary
}

func TestLagIsSinceWhatIsMissing(t *testing.T) {
	t.Parallel()
	p, now := &primary{}, time.Now()
	_, known := p.lag(sight{})
	require.False(t, known)
	p.samples = []sample{{now.Add(-time.Hour), 10}, {now.Add(-time.Minute), 20}, {now.Add(-time.Second), 30}}
	for lsn, want := range map[int64]time.Duration{30: 0, 31: 0, 29: time.Second, 20: time.Second, 19: time.Minute, 5: 2 * time.Hour} {
		lag, known := p.lag(sight{lsn: lsn, idle: 2 * time.Hour})
		require.True(t, known)
		require.InDelta(t, want, lag, float64(20*time.Second), lsn) // whatever time this test takes
	}
}

func TestCursorsCarryPositions(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		c := pageCursor{drawKey(t), rapid.Int64Min(-1).Draw(t, "position")}
		got, err := parsePageCursor(c.encode(Descending, nil), Descending, nil)
		if err != nil || got != c {
			t.Fatalf("%v came back as %v, %v", c, got, err)
		}
	})
}
