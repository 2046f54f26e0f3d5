package notary

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/stretchr/testify/require"

	"audittrail/modules/ledger"
	"audittrail/modules/store"
)

// TestRotation: with an overlap in which both keys sign, a key is replaced without an alarm, also for a
// log that does not grow meanwhile; each checkpoint verifies with the keys of its time.
func TestRotation(t *testing.T) {
	t.Parallel()
	d := newDatabase(t)
	file := tempState(t)
	old, fresh := key(t, 1), key(t, 2)
	run := func(size int64, keys ...ledger.SigningKey) {
		t.Helper()
		n := d.notary(file, keys...)
		stop := n.start()
		n.signs(d, ledger.Events, size)
		n.eventually("all keys sign what is remembered", func() bool {
			heads, err := n.remembers(), error(nil)
			for _, s := range n.signers {
				err = firstOf(err, lacking(s, heads[s.log]))
			}
			return err == nil
		})
		stop()
		require.Zero(t, refusals(t, n))
	}
	d.grow(ledger.Events, 1, 100)
	d.grow(ledger.Access, 2, 5)
	run(100, old)
	_, err := d.tryNotary(file, fresh)
	require.ErrorContains(t, err, "during a rotation put the old key after the new one in ledger.signing_key")
	d.grow(ledger.Events, 1, 100)
	run(200, fresh, old)
	d.grow(ledger.Events, 1, 100)
	run(300, fresh)

	kept, err := store.NewLedger(d.pool, ledger.Events).Checkpoints(t.Context(), 0, 10)
	require.NoError(t, err)
	require.Len(t, kept, 3)
	for i, opens := range [][2]bool{{true, true}, {true, true}, {false, true}} {
		for j, k := range []ledger.SigningKey{old, fresh} {
			_, err := ledger.OpenCheckpoint([]byte(kept[i].Note), trust(t, k))
			require.Equal(t, opens[j], err == nil, "checkpoint %d, key %d", i, j)
		}
	}
	require.Len(t, d.checkpoints(ledger.Events, trust(t, old, fresh)), 3)
	require.EqualValues(t, 1, d.count(`SELECT count(*) FROM ledger_signatures WHERE log = 'access'`), "once")

	// The log that never grew verifies with either key, and its checkpoint is still the one.
	for _, k := range []ledger.SigningKey{old, fresh} {
		require.Len(t, d.checkpoints(ledger.Access, trust(t, k)), 1)
	}

	// A notary that has no memory goes on with the new key alone.
	begins := d.notary(tempState(t), fresh)
	begins.start()
	d.grow(ledger.Events, 1, 1)
	d.grow(ledger.Access, 2, 1)
	begins.signs(d, ledger.Events, 301)
	begins.signs(d, ledger.Access, 6)
	require.Zero(t, refusals(t, begins))
}

// TestALostKeyIsNotTheEnd: where only the old key's verifier key is left, a new key goes on from what the old
// one signed, with and without the memory of it, and confirms it.
func TestALostKeyIsNotTheEnd(t *testing.T) {
	t.Parallel()
	lost, fresh := key(t, 1), key(t, 2)
	for name, keepsFile := range map[string]bool{"with its file": true, "without": false} {
		t.Run(name, func(t *testing.T) {
			d, file := signedLog(t)
			if !keepsFile {
				file = tempState(t)
			}
			n, err := d.tryNotaryAfter(file, trust(t, lost), fresh)
			require.NoError(t, err)
			n.start()
			n.eventually("the new key confirms the last checkpoint", func() bool {
				return d.count(`SELECT count(*) FROM ledger_signatures WHERE size = 70000`) == 1
			})
			d.grow(ledger.Events, 1, 5)
			n.signs(d, ledger.Events, 70_005)
			require.Zero(t, refusals(t, n))
			kept := d.checkpoints(ledger.Events, trust(t, lost, fresh))
			require.Equal(t, n.signers[ledger.Events].ids(), kept[len(kept)-1].Keys, "the lost key signs nothing")
		})
	}
}

// TestRotationReachesWhoWaits: a notary that waited through the overlap goes on without the old key.
func TestRotationReachesWhoWaits(t *testing.T) {
	t.Parallel()
	d := newDatabase(t)
	old, fresh := key(t, 1), key(t, 2)
	d.grow(ledger.Events, 1, 100)
	leader := d.notary(tempState(t), old)
	stop := leader.start()
	leader.signs(d, ledger.Events, 100)
	standby := d.notary(tempState(t), old)
	stopStandby := standby.start()
	standby.eventually("remembers", func() bool { return standby.remembers()[ledger.Events].Size == 100 })
	stop()
	stopStandby()
	_, err := d.tryNotary(standby.file, fresh)
	require.ErrorContains(t, err, "during a rotation")

	leader = d.notary(leader.file, fresh, old)
	stop = leader.start()
	leader.eventually("leads", func() bool { return testutil.ToFloat64(leader.metrics.leader) > 0 })
	waiting := d.notary(standby.file, fresh, old)
	stopStandby = waiting.start()
	waiting.eventually("remembers both signatures", func() bool { return len(waiting.remembers()[ledger.Events].Keys) == 2 })
	stop()
	stopStandby()

	alone := d.notary(standby.file, fresh)
	alone.start()
	d.grow(ledger.Events, 1, 5)
	alone.signs(d, ledger.Events, 105)
	require.Zero(t, refusals(t, alone))
}

// TestCrashWhileAKeyIsAdded: who dies before or after a new key's signature of the last checkpoint is added
// leaves one signature in the end.
func TestCrashWhileAKeyIsAdded(t *testing.T) {
	t.Parallel()
	for _, after := range []bool{false, true} {
		d := newDatabase(t)
		file := tempState(t)
		d.grow(ledger.Events, 1, 100)
		n := d.notary(file, key(t, 1))
		stop := n.start()
		n.signs(d, ledger.Events, 100)
		stop()
		n = d.notary(file, key(t, 2), key(t, 1))
		n.fault.arm("add", after, 0)
		stop = n.start()
		n.eventually("the crash", n.fault.crashed)
		stop()
		n = d.notary(file, key(t, 2), key(t, 1))
		n.start()
		n.eventually("remembers both", func() bool { return len(n.remembers()[ledger.Events].Keys) == 2 })
		require.EqualValues(t, 1, d.count(`SELECT count(*) FROM ledger_signatures`))
		require.Zero(t, refusals(t, n))
	}
}

// TestNoSignatureOfAChangedLog: a new key does not confirm what is not the log that was signed.
func TestNoSignatureOfAChangedLog(t *testing.T) {
	t.Parallel()
	d, file := signedLog(t)
	d.tamper(`UPDATE ledger_batches SET leaves = set_byte(leaves, 5247, get_byte(leaves, 5247) # 1) WHERE log = 'events' AND first_position = 69836`)
	n := d.notary(file, key(t, 2), key(t, 1))
	n.start()
	n.refuses(ledger.Events, forked)
	require.Zero(t, d.count(`SELECT count(*) FROM ledger_signatures WHERE log = 'events'`))
}

func lacking(s *signer, h head) error {
	if added, err := s.missing(h.Signed); h.Size == 0 || err != nil || len(added) > 0 {
		return os.ErrInvalid
	}
	return nil
}

func firstOf(a, b error) error {
	if a != nil {
		return a
	}
	return b
}

// TestStandbyCatchesUp: a notary without a file, and one with an old one, go on from the checkpoints that
// another one kept; many of them, over several pages.
func TestStandbyCatchesUp(t *testing.T) {
	t.Parallel()
	d := newDatabase(t)
	d.grow(ledger.Events, 1, 3)
	behind := d.notary(tempState(t), key(t, 1))
	stop := behind.start()
	behind.signs(d, ledger.Events, 3)
	stop()
	// As a notary would have kept them, one for each entry.
	d.grow(ledger.Events, 1, 3*page)
	signer, err := key(t, 1).Signer(ledger.Events)
	require.NoError(t, err)
	var f frontier
	for size := int64(1); size <= d.size(ledger.Events); size++ {
		f.append(leaf(1, size-1), nil)
		if size <= 3 {
			continue
		}
		note, err := ledger.Checkpoint{Origin: ledger.Events.Origin(origin), Size: size, Root: f.root()}.Sign(signer)
		require.NoError(t, err)
		root := f.root()
		d.exec(`INSERT INTO ledger_checkpoints (log, size, root, note, signed_at) VALUES ('events', $1, $2, $3, now())`, size, root[:], string(note))
	}
	for _, file := range []string{behind.file, tempState(t)} {
		n := d.notary(file, key(t, 1))
		stop := n.start()
		n.eventually("catches up", func() bool {
			return n.remembers()[ledger.Events].Size == 3*page+3
		})
		stop()
		require.EqualValues(t, 3*page+2, n.remembers()[ledger.Events].previous)
		require.Zero(t, refusals(t, n))
	}

	// One that was forged in between is found on the way.
	d.tamper(`UPDATE ledger_checkpoints SET root = set_byte(root, 0, get_byte(root, 0) # 1) WHERE size = 250`)
	n := d.notary(tempState(t), key(t, 1))
	n.start()
	require.Contains(t, n.refuses(ledger.Events, forked), "at 250 entries")
}

// TestStateFilesThatDoNotFit: what is wrong with a file is said before anything runs.
func TestStateFilesThatDoNotFit(t *testing.T) {
	t.Parallel()
	d := newDatabase(t)
	d.grow(ledger.Events, 1, 3)
	n := d.notary(tempState(t), key(t, 1))
	stop := n.start()
	n.signs(d, ledger.Events, 3)
	n.eventually("remembered", func() bool { s, err := ReadState(n.file); return err == nil && len(s.Logs) == 1 })
	stop()
	good, err := os.ReadFile(n.file)
	require.NoError(t, err)
	state, err := ReadState(n.file)
	require.NoError(t, err)
	tests := map[string]string{
		"is not a notary's state": "",
		`the state is of "audit.example.com/other", but ledger.origin is "audit.example.com/shop"`: strings.Replace(string(good), `"origin": "audit.example.com/shop"`, `"origin": "audit.example.com/other"`, 1),
		`names the log "event"`:           strings.Replace(string(good), `"log": "events"`, `"log": "event"`, 1),
		"was changed after it was signed": strings.Replace(string(good), `shop/events\n3\n`, `shop/events\n4\n`, 1),
	}
	for want, text := range tests {
		path := filepath.Join(t.TempDir(), "notary.json")
		require.NoError(t, os.WriteFile(path, []byte(text), 0o600))
		_, err := d.tryNotary(path, key(t, 1))
		require.ErrorContains(t, err, want)
		require.ErrorContains(t, err, "notary.state_file")
	}
	_, err = d.tryNotary(t.TempDir(), key(t, 1))
	require.ErrorContains(t, err, "notary.state_file")

	// The note of the events' log does not pass for the access log's.
	state.Logs[0].Log = ledger.Access
	path := tempState(t)
	_, err = stateFile(path).Save(t.Context(), State{}, state)
	require.NoError(t, err)
	_, err = d.tryNotary(path, key(t, 1))
	require.ErrorContains(t, err, "notary.state_file")
}

// TestNothingIsSignedWhereTheStateCantBeWritten: the place is tried before anything is signed.
func TestNothingIsSignedWhereTheStateCantBeWritten(t *testing.T) {
	t.Parallel()
	d := newDatabase(t)
	d.grow(ledger.Events, 1, 3)
	blocked := filepath.Join(t.TempDir(), "file")
	require.NoError(t, os.WriteFile(blocked, nil, 0o600))
	n := d.notary(filepath.Join(t.TempDir(), "none"), key(t, 1))
	n.memory = stateFile(filepath.Join(blocked, "notary.json"))
	n.start()
	n.eventually("it is told", func() bool {
		err := n.Health(context.Background())
		return err != nil && err.Error() != errStarting.Error()
	})
	require.ErrorContains(t, n.Health(t.Context()), "notary.state_file")
	require.Zero(t, d.count(`SELECT count(*) FROM ledger_checkpoints`))
}
