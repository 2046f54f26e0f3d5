package notary

import (
	"context"
	"os"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"audittrail/modules/ledger"
	"audittrail/modules/store"
	"audittrail/platform/lifecycle"
	"audittrail/platform/lifecycle/lifecycletest"
)

func TestStress(t *testing.T) {
	d := newDatabase(t)
	d.grow(ledger.Events, 1, 1000, 1)
	file := tempState(t)
	lifecycletest.Stress(t, func() lifecycle.Role {
		d.grow(ledger.Events, 1, 10)
		return d.notary(file, key(t, 1)).Role
	})
	require.NotEmpty(t, d.checkpoints(ledger.Events, trust(t, key(t, 1))))
}

func TestSignsWhatGrows(t *testing.T) {
	d := newDatabase(t)
	defer goleak.VerifyNone(t, goleak.IgnoreCurrent())
	n := d.notary(tempState(t), key(t, 1))
	families, err := n.registry.Gather()
	require.NoError(t, err)
	require.Len(t, families, 8, "every metric is there from the start")
	require.Error(t, n.Health(t.Context()))
	stop := n.start()
	n.eventually("health", func() bool { return n.Health(context.Background()) == nil })
	require.FileExists(t, n.file, "made before anything is signed")
	require.Zero(t, d.count(`SELECT count(*) FROM ledger_checkpoints`), "an empty log is not signed")
	for _, grown := range [][]int{{1}, {255}, {1}, {300}, {16384}, {16384, 16384, 16384, 16384, 4464}} {
		d.grow(ledger.Events, 1, grown...)
		n.signs(d, ledger.Events, d.size(ledger.Events))
	}
	d.grow(ledger.Access, 2, 5)
	n.signs(d, ledger.Access, 5)
	n.eventually("a patrol of each log", func() bool {
		return testutil.ToFloat64(n.metrics.patrols.WithLabelValues("events")) > 0 && testutil.ToFloat64(n.metrics.patrols.WithLabelValues("access")) > 0
	})
	stop()

	size := d.size(ledger.Events)
	require.Equal(t, size, int64(testutil.ToFloat64(n.metrics.size.WithLabelValues("events"))))
	require.GreaterOrEqual(t, len(d.checkpoints(ledger.Events, trust(t, key(t, 1)))), 6)
	require.Len(t, d.checkpoints(ledger.Access, trust(t, key(t, 1))), 1)
	built, err := store.NewLedger(d.pool, ledger.Events).Built(t.Context())
	require.NoError(t, err)
	require.Equal(t, size/256*256, built)
	info, err := os.Stat(n.file)
	require.NoError(t, err)
	require.Equal(t, os.FileMode(0o600), info.Mode().Perm())
	state, err := ReadState(n.file)
	require.NoError(t, err)
	require.Equal(t, origin, state.Origin)
	require.Len(t, state.Logs, 2)
}

// TestNothingHappensWhileNothingGrows: one checkpoint of a size, and an age that does not grow.
func TestNothingHappensWhileNothingGrows(t *testing.T) {
	t.Parallel()
	d := newDatabase(t)
	d.grow(ledger.Events, 1, 3)
	n := d.notary(tempState(t), key(t, 1))
	n.start()
	n.signs(d, ledger.Events, 3)
	laps := testutil.ToFloat64(n.metrics.patrols.WithLabelValues("events"))
	n.eventually("some rounds", func() bool { return testutil.ToFloat64(n.metrics.patrols.WithLabelValues("events")) > laps+2 })
	require.EqualValues(t, 1, d.count(`SELECT count(*) FROM ledger_checkpoints`))
	require.Less(t, time.Since(time.Unix(0, n.metrics.covered[ledger.Events].Load())), 30*time.Second)
}

// TestNumbersTheAccessLog: batches that wait get positions and a checkpoint.
func TestNumbersTheAccessLog(t *testing.T) {
	t.Parallel()
	d := newDatabase(t)
	n := d.notary(tempState(t), key(t, 1))
	n.start()
	d.exec(`INSERT INTO ledger_pending (log, batch, count, recorded_at, earliest, latest, leaves)
		SELECT 'access', nextval('access_batches'), 2, now(), now(), now(), decode(repeat('ab', 64), 'hex') FROM generate_series(1, 2500)`)
	n.signs(d, ledger.Access, 5000)
	require.Zero(t, d.count(`SELECT count(*) FROM ledger_pending`))
}

// TestOneSigns: of two notaries one signs; when it dies the other takes over, with a file of its own, and
// goes on from the checkpoints that the first one kept.
func TestOneSigns(t *testing.T) {
	t.Parallel()
	d := newDatabase(t)
	d.grow(ledger.Events, 1, 10)
	first, second := d.notary(tempState(t), key(t, 1)), d.notary(tempState(t), key(t, 1))
	stop := first.start()
	first.signs(d, ledger.Events, 10)
	second.start()
	second.eventually("the second waits in good health", func() bool { return second.Health(context.Background()) == nil })
	for range 5 {
		d.grow(ledger.Events, 1, 300)
		first.signs(d, ledger.Events, d.size(ledger.Events))
	}
	second.eventually("the second sees the size", func() bool {
		return int64(testutil.ToFloat64(second.metrics.size.WithLabelValues("events"))) == d.size(ledger.Events)
	})

	// Its session is cut, as by a network that is gone; it may come back, but then it has to wait.
	d.exec(`SELECT pg_terminate_backend(pid) FROM pg_locks WHERE locktype = 'advisory' AND granted AND database = (SELECT oid FROM pg_database WHERE datname = current_database())`)
	d.grow(ledger.Events, 1, 7)
	first.eventually("one of them goes on", func() bool {
		c, _, err := store.NewLedger(d.pool, ledger.Events).LatestCheckpoint(context.Background())
		return err == nil && c.Size == d.size(ledger.Events)
	})
	stop()
	d.grow(ledger.Events, 1, 9)
	second.signs(d, ledger.Events, d.size(ledger.Events))
	require.Positive(t, testutil.ToFloat64(second.metrics.leader))
	require.Zero(t, testutil.ToFloat64(first.metrics.leader))
	require.Len(t, d.checkpoints(ledger.Events, trust(t, key(t, 1))), 8)

	// The first one comes back with a file that is behind.
	again := d.notary(first.file, key(t, 1))
	again.start()
	again.eventually("waits", func() bool { return again.Health(context.Background()) == nil })
}

// TestAStepThatDoesNotEnd, for the server does not answer, is to be seen.
func TestAStepThatDoesNotEnd(t *testing.T) {
	t.Parallel()
	d := newDatabase(t)
	n := d.notary(tempState(t), key(t, 1))
	var skew atomic.Int64
	n.now = func() time.Time { return time.Now().Add(time.Duration(skew.Load())) }
	n.start()
	n.eventually("ready", func() bool { return n.Health(t.Context()) == nil })
	d.exec(`BEGIN`)
	d.exec(`LOCK TABLE ledger_batches`)
	n.eventually("it waits", func() bool {
		return d.count(`SELECT count(*) FROM pg_locks WHERE relation = 'ledger_batches'::regclass AND NOT granted`) > 0
	})
	skew.Store(int64(stuckAfter))
	require.ErrorContains(t, n.Health(t.Context()), "at one step for 3")
	skew.Store(0)
	d.exec(`ROLLBACK`)
	n.eventually("ready", func() bool { return n.Health(t.Context()) == nil })
}

// TestAClockThatWasAhead does not keep the age at 0 until its time has come.
func TestAClockThatWasAhead(t *testing.T) {
	t.Parallel()
	now := time.Now()
	m, err := newMetrics(nil, func() time.Time { return now })
	require.NoError(t, err)
	m.cover(ledger.Events, now.Add(24*time.Hour))
	now = now.Add(time.Minute)
	require.InDelta(t, 60, testutil.ToFloat64(m.age(ledger.Events)), 1)
}

// TestARefusalToSignEnds when the log fits again, however long the interval.
func TestARefusalToSignEnds(t *testing.T) {
	t.Parallel()
	d := newDatabase(t)
	n := d.notary(tempState(t), key(t, 1))
	n.interval = time.Hour
	d.grow(ledger.Events, 1, 300)
	d.exec(`INSERT INTO ledger_tiles (log, level, tile, first, hashes) VALUES ('events', 1, 7, 0, decode(repeat('ab', 32), 'hex'))`)
	n.start()
	n.refuses(ledger.Events, tiles)
	d.tamper(`DELETE FROM ledger_tiles WHERE tile = 7`)
	n.signs(d, ledger.Events, 300)
}
