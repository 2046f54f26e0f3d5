package notary

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"audittrail/modules/ledger"
	"audittrail/modules/store"
)

// TestCrashAtEachStep: a notary that dies before or after any of its writes, and is started again, signs
// on without an alarm, and never two roots for a size, whether or not the log has grown meanwhile and
// whether it is the same notary or a standby that goes on.
func TestCrashAtEachStep(t *testing.T) {
	t.Parallel()
	for _, step := range []string{"number", "tiles", "harden", "save", "keep"} {
		for _, after := range []bool{false, true} {
			for _, grows := range []bool{false, true} {
				t.Run(fmt.Sprintf("%s, after it: %v, grows: %v", step, after, grows), func(t *testing.T) {
					t.Parallel()
					crash(t, step, after, grows)
				})
			}
		}
	}
}

func crash(t *testing.T, step string, after, grows bool) {
	d := newDatabase(t)
	keys := trust(t, key(t, 1))
	main, standby := tempState(t), tempState(t)
	seen := &witness{}
	run := func(file string) *notary {
		n := d.notary(file, key(t, 1))
		n.memory.(*faultyMemory).witness, n.witness = seen, seen
		return n
	}
	d.grow(ledger.Events, 1, 700)
	for round := range 4 {
		n := run(main)
		skip := 0
		if step == "number" {
			skip = round
		}
		n.fault.arm(step, after, skip)
		stop := n.start()
		d.grow(ledger.Events, 1, 300)
		n.eventually("the crash", n.fault.crashed)
		stop()
		if grows {
			d.grow(ledger.Events, 1, 300)
		}
		file := main
		if round%2 == 1 {
			file = standby
		}
		n = run(file)
		stop = n.start()
		n.signs(d, ledger.Events, d.size(ledger.Events))
		stop()
		require.Zero(t, refusals(t, n))
	}
	require.Empty(t, seen.forks)
	for _, c := range d.checkpoints(ledger.Events, keys) {
		require.Contains(t, seen.roots, fmt.Sprintf("%s %s", ledger.Events.Origin(origin), time.Duration(c.Size)))
	}
}

// refusals is how often the role refused, for whatever reason.
func refusals(t *testing.T, n *notary) (sum float64) {
	t.Helper()
	families, err := n.registry.Gather()
	require.NoError(t, err)
	for _, family := range families {
		if family.GetName() != "audittrail_notary_refusals_total" {
			continue
		}
		for _, m := range family.GetMetric() {
			sum += m.GetCounter().GetValue()
		}
	}
	return sum
}

// TestCrashBetweenMemoryAndDatabase: what is remembered and not kept is kept by the next start, note for
// note, also where a standby has gone on in between and died at the same step.
func TestCrashBetweenMemoryAndDatabase(t *testing.T) {
	t.Parallel()
	d := newDatabase(t)
	first, second := tempState(t), tempState(t)
	d.grow(ledger.Events, 1, 100)
	for _, file := range []string{first, second} {
		n := d.notary(file, key(t, 1))
		stop := n.start()
		n.signs(d, ledger.Events, 100)
		n.eventually("remembered", func() bool { s, err := ReadState(file); return err == nil && len(s.Logs) == 1 })
		stop()
	}
	for i, file := range []string{first, second} { // remembers 150, then 200; neither is kept
		d.grow(ledger.Events, 1, 50)
		n := d.notary(file, key(t, 1))
		n.fault.arm("keep", false, 0)
		stop := n.start()
		n.eventually("the crash", n.fault.crashed)
		stop()
		state, err := ReadState(file)
		require.NoError(t, err)
		c, err := ledger.OpenCheckpoint([]byte(state.Logs[0].Checkpoint), trust(t, key(t, 1)))
		require.NoError(t, err)
		require.EqualValues(t, 150+50*i, c.Size)
		require.EqualValues(t, 100, state.Logs[0].Previous)
	}
	for _, file := range []string{first, second} { // keeps 150, and 200 beside what was signed then
		d.grow(ledger.Events, 1, 50)
		n := d.notary(file, key(t, 1))
		d.unled(n) // else it may wait first, and pass over what it alone has seen
		stop := n.start()
		n.signs(d, ledger.Events, d.size(ledger.Events))
		stop()
		require.Zero(t, refusals(t, n))
	}
	var sizes []int64
	for _, c := range d.checkpoints(ledger.Events, trust(t, key(t, 1))) {
		sizes = append(sizes, c.Size)
	}
	require.Equal(t, []int64{100, 150, 200, 250, 300}, sizes)
}

// unled waits until the session of the last one that led is gone.
func (d *database) unled(n *notary) {
	d.t.Helper()
	n.eventually("nobody leads", func() bool {
		return d.count(`SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND database = (SELECT oid FROM pg_database WHERE datname = current_database())`) == 0
	})
}

// TestWhoWaitsPassesOverWhatItAloneHasSeen: a checkpoint that was remembered and never kept is no alarm once
// others have gone on, and no reason to stay behind.
func TestWhoWaitsPassesOverWhatItAloneHasSeen(t *testing.T) {
	t.Parallel()
	d := newDatabase(t)
	d.grow(ledger.Events, 1, 100)
	crashed, other := d.notary(tempState(t), key(t, 1)), d.notary(tempState(t), key(t, 1))
	crashed.fault.arm("keep", false, 0)
	stop := crashed.start()
	crashed.eventually("the crash", crashed.fault.crashed)
	stop()
	require.EqualValues(t, 100, crashed.remembers()[ledger.Events].Size)
	d.grow(ledger.Events, 1, 50)
	other.start()
	other.signs(d, ledger.Events, 150)
	waits := d.notary(crashed.file, key(t, 1))
	waits.start()
	waits.eventually("it goes on", func() bool { return waits.remembers()[ledger.Events].Size == 150 })
	waits.eventually("in good health", func() bool { return waits.Health(context.Background()) == nil })
	require.Zero(t, refusals(t, waits))
	require.False(t, waits.leads())
}

// TestStateThatCantBeWritten: nothing is signed, and it goes on by itself once it can be.
func TestStateThatCantBeWritten(t *testing.T) {
	t.Parallel()
	d := newDatabase(t)
	d.grow(ledger.Events, 1, 5)
	n := d.notary(tempState(t), key(t, 1))
	n.fault.arm("save", false, 1)
	n.start()
	n.eventually("trouble", n.fault.crashed)
	n.eventually("trouble is told", func() bool { return n.Health(context.Background()) != nil })
	_, ok, err := store.NewLedger(d.pool, ledger.Events).LatestCheckpoint(t.Context())
	require.NoError(t, err)
	require.False(t, ok)
	n.fault.arm("", false, 0)
	n.signs(d, ledger.Events, 5)
	require.Zero(t, refusals(t, n))
}
