package notary

import (
	"context"
	"errors"
	"os"
	"sync/atomic"
	"testing"

	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/stretchr/testify/require"

	"audittrail/modules/ledger"
	"audittrail/modules/migrate/migratetest"
	"audittrail/modules/store"
)

// restore puts the events' log back to an earlier size, as a backup would: all sessions end, and who comes
// back finds the older log.
func (d *database) restore(size int64) {
	d.t.Helper()
	d.exec(`SET session_replication_role = replica`)
	tx, err := d.owner.Begin(d.t.Context())
	require.NoError(d.t, err)
	for _, sql := range []string{
		`LOCK TABLE ledger_batches, ledger_tiles, ledger_checkpoints, ledger_signatures IN ACCESS EXCLUSIVE MODE`,
		`ALTER TABLE ledger_batches DISABLE TRIGGER ALL`, `ALTER TABLE ledger_tiles DISABLE TRIGGER ALL`, `ALTER TABLE ledger_checkpoints DISABLE TRIGGER ALL`,
		`SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()`,
	} {
		_, err := tx.Exec(d.t.Context(), sql)
		require.NoError(d.t, err)
	}
	for _, sql := range []string{
		`DELETE FROM ledger_batches WHERE log = 'events' AND first_position >= $1`,
		`DELETE FROM ledger_tiles WHERE log = 'events' AND 256 * (256 * tile + first + octet_length(hashes) / 32) > $1`,
		`DELETE FROM ledger_checkpoints WHERE log = 'events' AND size > $1`,
	} {
		_, err := tx.Exec(d.t.Context(), sql, size)
		require.NoError(d.t, err)
	}
	require.NoError(d.t, tx.Commit(d.t.Context()))
	d.pool.Reset()
	require.Equal(d.t, size, d.size(ledger.Events))
}

// barred keeps a notary from the lead while it is told to.
func (n *notary) barred() *atomic.Bool {
	var bar atomic.Bool
	lead := n.lead
	n.lead = func(ctx context.Context) (session, bool, error) {
		if bar.Load() {
			return nil, false, ctx.Err()
		}
		return lead(ctx)
	}
	return &bar
}

func (n *notary) leads() bool { return testutil.ToFloat64(n.metrics.leader) > 0 }

// TestNobodySignsOverARestoredDatabase: whoever of two notaries, each with a file of its own, takes the lead
// after a restore that ended their sessions, both refuse, and go on to when the log has grown past what
// was signed.
func TestNobodySignsOverARestoredDatabase(t *testing.T) {
	t.Parallel()
	for name, other := range map[string]bool{"the leader comes back": false, "the one who waited takes over": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := newDatabase(t)
			first, second := d.notary(tempState(t), key(t, 1)), d.notary(tempState(t), key(t, 1))
			barFirst, barSecond := first.barred(), second.barred()
			barSecond.Store(true)
			first.start()
			second.start()
			for _, size := range []int64{300, 600} {
				d.grow(ledger.Events, 1, 300)
				first.signs(d, ledger.Events, size)
			}
			second.eventually("the other one remembers it", func() bool { return second.remembers()[ledger.Events].Size == 600 })
			require.NoError(t, second.Health(t.Context()))
			barFirst.Store(true)
			d.restore(300)
			winner := first
			if other {
				winner = second
				barSecond.Store(false)
			} else {
				barFirst.Store(false)
			}
			for _, n := range []*notary{first, second} {
				n.refuses(ledger.Events, rolledBack)
			}
			winner.eventually("it leads", winner.leads)
			d.grow(ledger.Events, 9, 200)
			for _, n := range []*notary{first, second} {
				n.refuses(ledger.Events, rolledBack)
			}
			d.grow(ledger.Events, 9, 300)
			for _, n := range []*notary{first, second} {
				n.refuses(ledger.Events, forked)
			}
			require.EqualValues(t, 1, d.count(`SELECT count(*) FROM ledger_checkpoints`), "nothing is signed over it")
			require.Empty(t, first.witness.forks)
		})
	}
}

// TestWhoWaitsAlarms: a leader whose file is behind goes on over a restored database; the one who waits and
// knows better is not ready, and counts it.
func TestWhoWaitsAlarms(t *testing.T) {
	t.Parallel()
	d := newDatabase(t)
	d.grow(ledger.Events, 1, 300)
	first := d.notary(tempState(t), key(t, 1))
	stop := first.start()
	first.signs(d, ledger.Events, 300)
	old, err := os.ReadFile(first.file)
	require.NoError(t, err)
	d.grow(ledger.Events, 1, 300)
	first.signs(d, ledger.Events, 600)
	stop()
	d.restore(300)

	behind := tempState(t)
	leader := d.notary(behind, key(t, 1))
	require.NoError(t, os.MkdirAll(behind[:len(behind)-len("/notary.json")], 0o700))
	require.NoError(t, os.WriteFile(behind, old, 0o600))
	leader.start()
	d.grow(ledger.Events, 9, 100)
	leader.signs(d, ledger.Events, 400)

	waits := d.notary(first.file, key(t, 1))
	waits.start()
	waits.refuses(ledger.Events, rolledBack)
	counted := refusals(t, waits)
	waits.eventually("each look counts", func() bool { return refusals(t, waits) > counted+2 })
	d.grow(ledger.Events, 9, 300)
	leader.signs(d, ledger.Events, 700)
	waits.refuses(ledger.Events, forked)
	d.grow(ledger.Events, 9, 1)
	leader.signs(d, ledger.Events, 701)
	waits.refuses(ledger.Events, forked)
	require.EqualValues(t, 600, waits.remembers()[ledger.Events].Size, "it takes over nothing of that")
	require.False(t, waits.leads())
}

// TestWhoWaitsSeesMore: what is wrong with what is kept is seen without the lead.
func TestWhoWaitsSeesMore(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		why    reason
		damage func(d *database)
	}{
		"another root is kept": {checkpoints, func(d *database) {
			d.tamper(`UPDATE ledger_checkpoints SET root = set_byte(root, 0, get_byte(root, 0) # 1) WHERE log = 'events' AND size = 70000`)
		}},
		"checkpoints are gone": {checkpoints, func(d *database) {
			d.tamper(`DELETE FROM ledger_checkpoints WHERE log = 'events'`)
		}},
		"the edge was changed, and it has grown": {forked, func(d *database) {
			d.tamper(`UPDATE ledger_batches SET leaves = set_byte(leaves, 5247, get_byte(leaves, 5247) # 1) WHERE log = 'events' AND first_position = 69836`)
			d.grow(ledger.Events, 1, 5)
		}},
		"a later checkpoint is not ours": {checkpoints, func(d *database) {
			d.grow(ledger.Events, 1, 5)
			d.keep(70_003, foreignNote(d, key(d.t, 7))(70_003))
		}},
		"a later checkpoint is of another root": {forked, func(d *database) {
			d.grow(ledger.Events, 1, 5)
			d.keep(70_003, "whatever it says")
			d.tamper(`UPDATE ledger_checkpoints SET root = set_byte(root, 0, get_byte(root, 0) # 1) WHERE log = 'events' AND size = 70003`)
		}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d, file := signedLog(t)
			waits := d.notary(file, key(t, 1))
			waits.barred().Store(true)
			waits.start()
			waits.eventually("waits in good health", func() bool { return waits.Health(context.Background()) == nil })
			tt.damage(d)
			waits.refuses(ledger.Events, tt.why)
		})
	}
}

// TestWaitingIsNoAlarm: while one signs all the time, those who wait, with its file and with files of their
// own, never refuse, and are up to date when it stops.
func TestWaitingIsNoAlarm(t *testing.T) {
	t.Parallel()
	d := newDatabase(t)
	leader := d.notary(tempState(t), key(t, 1))
	leader.start()
	leader.eventually("leads", leader.leads)
	waiting := []*notary{d.notary(leader.file, key(t, 1)), d.notary(leader.file, key(t, 1)), d.notary(tempState(t), key(t, 1))}
	for _, n := range waiting {
		n.pace = 1
		n.start()
	}
	for i := range 150 {
		d.grow(ledger.Events, 1, 1+i%7*50)
		d.grow(ledger.Access, 2, 3)
	}
	leader.signs(d, ledger.Events, d.size(ledger.Events))
	for _, n := range append(waiting, leader) {
		n.eventually("remembers all", func() bool {
			return n.remembers()[ledger.Events].Size == d.size(ledger.Events) && n.remembers()[ledger.Access].Size == d.size(ledger.Access)
		})
		n.eventually("waits in good health", func() bool { return n.Health(context.Background()) == nil })
		require.Zero(t, refusals(t, n))
	}
	require.NotEmpty(t, d.checkpoints(ledger.Events, trust(t, key(t, 1))))
}

// TestAProcessDoesNotForget: a file that is lost, or put back, under a notary that runs is written again from
// what it knows.
func TestAProcessDoesNotForget(t *testing.T) {
	t.Parallel()
	d := newDatabase(t)
	d.grow(ledger.Events, 1, 300)
	n := d.notary(tempState(t), key(t, 1))
	bar := n.barred()
	n.start()
	n.signs(d, ledger.Events, 300)
	n.eventually("remembered", func() bool { return n.remembers()[ledger.Events].Size == 300 })
	bar.Store(true)
	require.NoError(t, os.Remove(n.file))
	d.restore(0)
	n.refuses(ledger.Events, rolledBack)
	require.EqualValues(t, 300, n.remembers()[ledger.Events].Size)
}

// TestALeaderThatIsBehindItsFile signs nothing: another process that shares it knows more, of a log that went
// on somewhere else.
func TestALeaderThatIsBehindItsFile(t *testing.T) {
	t.Parallel()
	d := newDatabase(t)
	d.grow(ledger.Events, 1, 300)
	n := d.notary(tempState(t), key(t, 1))
	n.start()
	n.signs(d, ledger.Events, 300)
	known, err := stateFile(n.file).Load()
	require.NoError(t, err)
	_, err = stateFile(n.file).Save(t.Context(), known, stateAt(t, 600, 0, key(t, 1)))
	require.NoError(t, err)
	d.grow(ledger.Events, 1, 10)
	n.refuses(ledger.Events, rolledBack)
	require.EqualValues(t, 1, d.count(`SELECT count(*) FROM ledger_checkpoints`))
	require.EqualValues(t, 600, n.remembers()[ledger.Events].Size)
}

// TestALeaderSignsNoOtherHistoryThanItsFile, though its log is longer than what the file has: two databases
// that were one, after a failover or in a drill, and notaries that share a file.
func TestALeaderSignsNoOtherHistoryThanItsFile(t *testing.T) {
	t.Parallel()
	file := tempState(t)
	here, there := newDatabase(t), newDatabase(t)
	for _, d := range []*database{here, there} {
		d.grow(ledger.Events, 1, 100)
		n := d.notary(file, key(t, 1))
		stop := n.start()
		n.signs(d, ledger.Events, 100)
		stop()
	}
	n := here.notary(file, key(t, 1))
	n.start()
	n.signs(here, ledger.Events, 100)
	other := there.notary(file, key(t, 1))
	stop := other.start()
	there.grow(ledger.Events, 9, 50)
	other.signs(there, ledger.Events, 150)
	other.eventually("remembered", func() bool { return other.remembers()[ledger.Events].Size == 150 })
	stop()
	here.grow(ledger.Events, 1, 60)
	n.refuses(ledger.Events, forked)
	require.EqualValues(t, 150, n.remembers()[ledger.Events].Size)
	require.EqualValues(t, 100, here.count(`SELECT max(size) FROM ledger_checkpoints`))
}

// TestAKeptCheckpointThatVanishes is refused, and not put back, by who has seen it in the database.
func TestAKeptCheckpointThatVanishes(t *testing.T) {
	t.Parallel()
	d := newDatabase(t)
	d.grow(ledger.Events, 1, 100)
	n := d.notary(tempState(t), key(t, 1))
	n.start()
	n.signs(d, ledger.Events, 100)
	d.tamper(`DELETE FROM ledger_checkpoints`)
	n.refuses(ledger.Events, checkpoints)
	require.Zero(t, d.count(`SELECT count(*) FROM ledger_checkpoints`))
}

// TestBeginsWithoutMemory: it is to be seen that a process could not tell whether the database was rolled
// back; and that another one could.
func TestBeginsWithoutMemory(t *testing.T) {
	t.Parallel()
	d, file := signedLog(t)
	for path, forgot := range map[string]float64{file: 0, tempState(t): 1} {
		n := d.notary(path, key(t, 1))
		stop := n.start()
		n.eventually("works", func() bool { return n.Health(context.Background()) == nil })
		stop()
		require.InDelta(t, forgot, testutil.ToFloat64(n.metrics.forgot), 0)
	}
	empty := newDatabase(t).notary(tempState(t), key(t, 1))
	empty.start()
	empty.eventually("works", func() bool { return empty.Health(context.Background()) == nil })
	require.Zero(t, testutil.ToFloat64(empty.metrics.forgot), "there was nothing to remember")
}

// TestNumberingThatFails keeps nothing from being signed, and is told, beside a refusal as well.
func TestNumberingThatFails(t *testing.T) {
	t.Parallel()
	d := newDatabase(t)
	d.grow(ledger.Access, 2, 1)
	n := d.notary(tempState(t), key(t, 1))
	n.start()
	n.signs(d, ledger.Access, 1)
	d.exec(`INSERT INTO ledger_pending (log, batch, count, recorded_at, earliest, latest, leaves)
		SELECT log, batch, count, now(), now(), now(), leaves FROM ledger_batches`) // positions are there already
	n.eventually("it is told", func() bool { return n.Health(context.Background()) != nil })
	for _, size := range []int64{10, 20} {
		d.grow(ledger.Events, 1, 10)
		n.eventually("signing goes on", func() bool { // its own memory comes first, the checkpoint's row after it
			c, ok, err := store.NewLedger(d.pool, ledger.Events).LatestCheckpoint(context.Background())
			return err == nil && ok && c.Size == size
		})
	}
	require.ErrorContains(t, n.Health(t.Context()), "number pending batches")
	require.True(t, n.leads(), "the term goes on")
	require.Zero(t, refusals(t, n))
	d.tamper(`UPDATE ledger_checkpoints SET root = set_byte(root, 0, get_byte(root, 0) # 1) WHERE log = 'events' AND size = 20`)
	n.refuses(ledger.Events, checkpoints)
	require.ErrorContains(t, n.Health(t.Context()), "number pending batches")
	d.exec(`DELETE FROM ledger_pending`)
	d.tamper(`UPDATE ledger_checkpoints SET root = set_byte(root, 0, get_byte(root, 0) # 1) WHERE log = 'events' AND size = 20`)
	d.grow(ledger.Events, 1, 1)
	n.signs(d, ledger.Events, 21)
}

// TestSignsWhatStandbysHave: a batch whose commit still waits for a synchronous standby is seen by all once
// its backend is terminated. It is not signed, and not even remembered, before a standby has it: a failover
// would take it back.
func TestSignsWhatStandbysHave(t *testing.T) {
	t.Parallel()
	server := migratetest.Server(t)
	d := open(t, server.URL())
	d.grow(ledger.Events, 1, 100)
	n := d.notary(tempState(t), key(t, 1))
	n.start()
	n.signs(d, ledger.Events, 100)
	d.exec(`ALTER SYSTEM SET synchronous_standby_names = 'nobody'`)
	d.exec(`SELECT pg_reload_conf()`)
	ends := make(chan error, 1)
	writer := open(t, server.URL())
	go func() {
		_, err := writer.owner.Exec(context.Background(), `DO $$ BEGIN PERFORM set_config('application_name', 'writer', false); END $$;
			SET synchronous_commit = on;
			INSERT INTO ledger_batches (log, first_position, batch, count, recorded_at, earliest, latest, leaves)
			SELECT log, 100, 100 << 20, 1, now(), now(), now(), substring(leaves FOR 32) FROM ledger_batches WHERE log = 'events'`)
		ends <- err
	}()
	waits := func(name string) func() bool {
		return func() bool {
			return d.count(`SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'SyncRep' AND application_name LIKE '`+name+`%'`) > 0
		}
	}
	n.eventually("the commit waits", waits("writer"))
	require.EqualValues(t, 100, d.size(ledger.Events), "nobody sees it yet")
	d.exec(`SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'writer'`)
	require.Error(t, <-ends)
	n.eventually("it is seen", func() bool { return d.size(ledger.Events) == 101 })
	n.eventually("the notary waits", waits("audittrail-notary"))
	require.EqualValues(t, 100, n.remembers()[ledger.Events].Size)
	d.exec(`ALTER SYSTEM RESET synchronous_standby_names`)
	d.exec(`SELECT pg_reload_conf()`)
	n.signs(d, ledger.Events, 101)
}

// TestErrorsAreToldApart: what is joined is taken apart again, however deep.
func TestErrorsAreToldApart(t *testing.T) {
	t.Parallel()
	lost := errors.New("lost")
	rolled, odd := refuse(ledger.Events, rolledBack, "a"), refuse(ledger.Access, tiles, "b")
	refusals, others := split(errors.Join(&setback{lost}, errors.Join(nil, rolled, errors.Join(odd, lost), rolled)))
	require.Equal(t, "access tiles, events rolled_back", kindsOf(refusals))
	require.Len(t, refusals, 3)
	require.Len(t, others, 2)
	for _, tt := range []struct {
		err            error
		refused, fails bool
	}{
		{nil, false, false},
		{lost, false, true},
		{rolled, true, false},
		{&setback{lost}, false, false},
		{errors.Join(&setback{lost}, rolled), true, false},
		{errors.Join(rolled, lost), true, true},
		{asRefusal(ledger.Events, nil), false, false},
		{asRefusal(ledger.Events, lost), false, true},
	} {
		require.Equal(t, tt.refused, refused(tt.err), "%v", tt.err)
		require.Equal(t, tt.fails, fails(tt.err), "%v", tt.err)
	}
}
