package notary

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"audittrail/modules/ledger"
	"audittrail/modules/migrate/migratetest"
	"audittrail/modules/store"
)

// signedLog is a database with a log of 70,000 entries that a notary has signed in two steps, and the
// notary's file.
func signedLog(t *testing.T) (*database, string) {
	t.Helper()
	url := migratetest.Copy(t, "signed", func(url string) {
		d, file := open(t, url), tempState(t)
		n := d.notary(file, key(t, 1))
		n.lap = 1 << 60 // no patrol but the first one
		stop := n.start()
		d.grow(ledger.Events, 1, 16384, 16384, 16384, 16384)
		n.signs(d, ledger.Events, 65536)
		d.grow(ledger.Events, 1, 4000, 300, 164)
		d.grow(ledger.Access, 2, 10)
		n.signs(d, ledger.Events, 70_000)
		n.signs(d, ledger.Access, 10)
		stop()
		var err error
		signedState, err = os.ReadFile(file)
		require.NoError(t, err)
		d.pool.Close()
		require.NoError(t, d.owner.Close(t.Context()))
	})
	file := tempState(t)
	require.NoError(t, os.Mkdir(filepath.Dir(file), 0o700))
	require.NoError(t, os.WriteFile(file, signedState, 0o600))
	return open(t, url), file
}

// signedState is what the file of the notary says that has signed the log of signedLog.
var signedState []byte

// TestRefuses: each damage to the database is refused with its reason, by a notary that starts after it;
// nothing is signed, neither in this log nor in the other, and the lead is kept.
func TestRefuses(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name   string
		why    reason
		damage func(d *database)
	}{
		{"rolled back to the checkpoint before", rolledBack, func(d *database) {
			d.tamper(`DELETE FROM ledger_batches WHERE log = 'events' AND first_position >= 65536`)
			d.tamper(`DELETE FROM ledger_checkpoints WHERE log = 'events' AND size > 65536`)
		}},
		{"emptied", rolledBack, func(d *database) {
			d.tamper(`DELETE FROM ledger_batches WHERE log = 'events'`)
			d.tamper(`DELETE FROM ledger_checkpoints WHERE log = 'events'`)
			d.tamper(`DELETE FROM ledger_tiles WHERE log = 'events'`)
		}},
		{"rolled back and grown again", forked, func(d *database) {
			d.tamper(`DELETE FROM ledger_batches WHERE log = 'events' AND first_position >= 65536`)
			d.tamper(`DELETE FROM ledger_checkpoints WHERE log = 'events' AND size > 65536`)
			d.tamper(`DELETE FROM ledger_tiles WHERE log = 'events' AND level = 1 AND tile = 1`)
			d.grow(ledger.Events, 9, 16384)
		}},
		{"the last batch gone", rolledBack, func(d *database) {
			d.tamper(`DELETE FROM ledger_batches WHERE log = 'events' AND first_position = 69836`)
		}},
		{"a batch in the middle gone", forked, func(d *database) {
			d.tamper(`DELETE FROM ledger_batches WHERE log = 'events' AND first_position = 16384`)
		}},
		{"the first leaf altered", forked, func(d *database) {
			d.tamper(`UPDATE ledger_batches SET leaves = set_byte(leaves, 7, get_byte(leaves, 7) # 1) WHERE log = 'events' AND first_position = 0`)
		}},
		{"a leaf of the last tile altered", forked, func(d *database) {
			d.tamper(`UPDATE ledger_batches SET leaves = set_byte(leaves, 5247, get_byte(leaves, 5247) # 1) WHERE log = 'events' AND first_position = 69836`)
		}},
		{"two leaves swapped", forked, func(d *database) {
			d.tamper(`UPDATE ledger_batches SET leaves = substring(leaves FROM 33 FOR 32) || substring(leaves FROM 1 FOR 32) || substring(leaves FROM 65)
				WHERE log = 'events' AND first_position = 32768`)
		}},
		{"two batches swapped", forked, func(d *database) {
			d.tamper(`UPDATE ledger_batches SET first_position = CASE first_position WHEN 16384 THEN 1000000 ELSE 16384 END
				WHERE log = 'events' AND first_position IN (16384, 32768)`)
			d.tamper(`UPDATE ledger_batches SET first_position = 32768 WHERE log = 'events' AND first_position = 1000000`)
		}},
		{"batches of other sizes swapped", forked, func(d *database) {
			d.tamper(`UPDATE ledger_batches SET first_position = CASE first_position WHEN 69536 THEN 1000000 ELSE 69536 END
				WHERE log = 'events' AND first_position IN (69536, 69836)`)
			d.tamper(`UPDATE ledger_batches SET first_position = 69836 WHERE log = 'events' AND first_position = 1000000`)
		}},
		{"a batch made longer", forked, func(d *database) {
			d.tamper(`UPDATE ledger_batches SET count = count + 1, leaves = leaves || decode(repeat('ab', 32), 'hex') WHERE log = 'events' AND first_position = 65536`)
		}},
		{"a tile of the edge altered", tiles, func(d *database) {
			d.tamper(`UPDATE ledger_tiles SET hashes = set_byte(hashes, 3, get_byte(hashes, 3) # 1) WHERE log = 'events' AND level = 1 AND tile = 1 AND first = 0`)
		}},
		{"a tile far behind altered", tiles, func(d *database) {
			d.tamper(`UPDATE ledger_tiles SET hashes = set_byte(hashes, 300, get_byte(hashes, 300) # 1) WHERE log = 'events' AND level = 1 AND tile = 0`)
		}},
		{"the top tile altered", tiles, func(d *database) {
			d.tamper(`UPDATE ledger_tiles SET hashes = set_byte(hashes, 3, get_byte(hashes, 3) # 1) WHERE log = 'events' AND level = 2`)
		}},
		{"leaf and tiles recomputed", forked, func(d *database) {
			d.tamper(`DELETE FROM ledger_tiles WHERE log = 'events'`)
			d.tamper(`UPDATE ledger_batches SET leaves = set_byte(leaves, 7, get_byte(leaves, 7) # 1) WHERE log = 'events' AND first_position = 0`)
		}},
		{"tiles beyond the log", tiles, func(d *database) {
			d.exec(`INSERT INTO ledger_tiles (log, level, tile, first, hashes) VALUES ('events', 1, 7, 0, decode(repeat('ab', 32), 'hex'))`)
			d.grow(ledger.Events, 1, 300)
		}},
		{"all checkpoints gone", checkpoints, func(d *database) {
			d.tamper(`DELETE FROM ledger_checkpoints WHERE log = 'events'`)
		}},
		{"a checkpoint of another root", checkpoints, func(d *database) {
			d.tamper(`UPDATE ledger_checkpoints SET root = set_byte(root, 0, get_byte(root, 0) # 1) WHERE log = 'events' AND size = 70000`)
		}},
		{"a checkpoint with another signature", checkpoints, func(d *database) {
			note := foreignNote(d, key(d.t, 1))
			text, _, _ := strings.Cut(note(70_000), "\n\n")
			_, signature, _ := strings.Cut(note(69_999), "\n\n")
			d.tamper(`UPDATE ledger_checkpoints SET note = $1 WHERE log = 'events' AND size = 70000`, text+"\n\n"+signature)
		}},
		{"a checkpoint that another key signed", checkpoints, func(d *database) {
			d.tamper(`UPDATE ledger_checkpoints SET note = $1 WHERE log = 'events' AND size = 70000`, foreignNote(d, key(d.t, 7))(70_000))
		}},
		{"a checkpoint with another one's note", checkpoints, func(d *database) {
			d.tamper(`UPDATE ledger_checkpoints SET note = $1 WHERE log = 'events' AND size = 70000`, foreignNote(d, key(d.t, 1))(69_999))
		}},
		{"a signature that is none", checkpoints, func(d *database) {
			d.exec(`INSERT INTO ledger_signatures (log, size, signed_at, signer, line) VALUES ('events', 70000, now(), 'x', '— x y')`)
		}},
		{"a checkpoint that nobody of us signed", checkpoints, func(d *database) {
			note := foreignNote(d, key(d.t, 7))
			d.grow(ledger.Events, 1, 5)
			d.keep(70_003, note(70_003))
		}},
		{"a checkpoint with a broken note", checkpoints, func(d *database) {
			note := foreignNote(d, key(d.t, 1))
			d.grow(ledger.Events, 1, 5)
			d.keep(70_003, strings.Replace(note(70_003), "70003", "70002", 1))
		}},
		{"a checkpoint beyond the log", rolledBack, func(d *database) {
			d.keep(70_001, "whatever it says")
		}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			d, file := signedLog(t)
			tt.damage(d)
			kept := d.count(`SELECT count(*) FROM ledger_checkpoints`)
			before, err := os.ReadFile(file)
			require.NoError(t, err)
			n := d.notary(file, key(t, 1))
			n.start()
			n.eventually("it leads", n.leads)
			found := n.refuses(ledger.Events, tt.why)
			t.Log(found)
			d.grow(ledger.Access, 2, 10)
			d.grow(ledger.Events, 1, 10)
			standby := d.notary(tempState(t), key(t, 1))
			standby.start()
			standby.eventually("the standby has looked", func() bool { return !errors.Is(standby.Health(context.Background()), errStarting) })
			so := refusals(t, n)
			n.eventually("it has looked again, and refuses", func() bool { return refusals(t, n) >= so+2 })
			require.True(t, refused(n.Health(t.Context())), "for this reason or another, now that it has grown")
			require.Equal(t, kept, d.count(`SELECT count(*) FROM ledger_checkpoints`), "nothing is signed")
			after, err := os.ReadFile(file)
			require.NoError(t, err)
			require.Equal(t, string(before), string(after), "nothing is forgotten")
		})
	}
}

// foreignNote signs the log's true root with a key.
func foreignNote(d *database, k ledger.SigningKey) func(size int64) string {
	return func(size int64) string {
		d.t.Helper()
		var f frontier
		require.NoError(d.t, f.extend(d.t.Context(), storeRows(d), size, nil))
		signer, err := k.Signer(ledger.Events)
		require.NoError(d.t, err)
		note, err := ledger.Checkpoint{Origin: ledger.Events.Origin(origin), Size: size, Root: f.root()}.Sign(signer)
		require.NoError(d.t, err)
		return string(note)
	}
}

// keep puts a row among the checkpoints, with the log's true root where it has one.
func (d *database) keep(size int64, note string) {
	d.t.Helper()
	var f frontier
	if size <= d.size(ledger.Events) {
		require.NoError(d.t, f.extend(d.t.Context(), storeRows(d), size, nil))
	}
	root := f.root()
	d.exec(`INSERT INTO ledger_checkpoints (log, size, root, note, signed_at) VALUES ('events', $1, $2, $3, now())`, size, root[:], note)
}

// TestRefusesWhileItRuns: damage under a notary that runs is refused, and it goes on by itself once the
// damage is repaired.
func TestRefusesWhileItRuns(t *testing.T) {
	t.Parallel()
	d, file := signedLog(t)
	n := d.notary(file, key(t, 1))
	n.start()
	n.signs(d, ledger.Events, 70_000)
	const change = `UPDATE ledger_batches SET leaves = set_byte(leaves, 7, get_byte(leaves, 7) # 1) WHERE log = 'events' AND first_position = 49152`
	d.tamper(change)
	require.Contains(t, n.refuses(ledger.Events, forked), "the first difference is among the entries 49152 to 49407")
	d.grow(ledger.Access, 2, 1)
	n.refuses(ledger.Events, forked)
	require.Len(t, d.checkpoints(ledger.Access, trust(t, key(t, 1))), 1)
	d.tamper(change)
	n.signs(d, ledger.Access, 11)
}

// TestARefusalOutlivesItsSession: what the patrol has found stays found when the connection is lost, so that
// nothing is signed over it until the next patrol comes by.
func TestARefusalOutlivesItsSession(t *testing.T) {
	t.Parallel()
	d, file := signedLog(t)
	n := d.notary(file, key(t, 1))
	n.start()
	n.signs(d, ledger.Events, 70_000)
	d.tamper(`UPDATE ledger_batches SET leaves = set_byte(leaves, 7, get_byte(leaves, 7) # 1) WHERE log = 'events' AND first_position = 49152`)
	n.refuses(ledger.Events, forked)
	d.grow(ledger.Events, 1, 10)
	for range 3 {
		d.exec(`SELECT pg_terminate_backend(pid, 10000) FROM pg_locks WHERE locktype = 'advisory' AND granted AND database = (SELECT oid FROM pg_database WHERE datname = current_database())`)
		so := refusals(t, n)
		n.eventually("it refuses in another session", func() bool { return refusals(t, n) >= so+3 })
	}
	require.EqualValues(t, 70_000, d.count(`SELECT max(size) FROM ledger_checkpoints`))
}

// unsteady is a log whose tiles can't be read once.
type unsteady struct {
	reader
	fails bool
}

func (u *unsteady) Tiles(ctx context.Context, ids []ledger.TileID) ([][]ledger.Hash, error) {
	if u.fails {
		u.fails = false
		return nil, errors.New("connection lost")
	}
	return u.reader.Tiles(ctx, ids)
}

// TestAPatrolPassesNothingBy: where tiles could not be read it comes back to them.
func TestAPatrolPassesNothingBy(t *testing.T) {
	t.Parallel()
	d, file := signedLog(t)
	d.tamper(`UPDATE ledger_tiles SET hashes = set_byte(hashes, 40, get_byte(hashes, 40) # 1) WHERE log = 'events' AND level = 1 AND tile = 0 AND first = 0`)
	n := d.notary(file, key(t, 1))
	w, err := n.watch(t.Context(), func(log ledger.Log) reader { return n.rows[log] })
	require.NoError(t, err)
	l := w.logs[0]
	rows := &unsteady{reader: l.rows}
	l.rows = rows
	p := n.patrols[ledger.Events]
	for _, fails := range []bool{false, true} {
		rows.fails = fails
		for steps := 0; steps == 0 || p.target.Size > 0; steps++ {
			done, err := p.step(t.Context(), l, time.Now(), 0)
			require.False(t, done)
			require.True(t, fails || refused(err) || err == nil, err)
			require.Less(t, steps, 20)
		}
		require.True(t, refused(p.fault), "the tiles are still wrong")
	}
}

// TestAFailbackEndsTheRefusal: while a log is not the one that was signed, a patrol of it finds nothing that
// would outlast that.
func TestAFailbackEndsTheRefusal(t *testing.T) {
	t.Parallel()
	d, file := signedLog(t)
	n := d.notary(file, key(t, 1))
	w, err := n.watch(t.Context(), func(log ledger.Log) reader { return n.rows[log] })
	require.NoError(t, err)
	lead := &term{watch: w, session: numbersNothing{}}
	for _, l := range w.logs {
		lead.terms = append(lead.terms, &logTerm{watched: l, db: store.NewLedger(d.pool, l.log), patrol: n.patrols[l.log]})
	}
	round := func() error { lead.paced = time.Time{}; return lead.round(t.Context()) }
	require.NoError(t, round(), "the patrols begin")
	d.exec(`CREATE TABLE away AS SELECT * FROM ledger_batches WHERE log = 'events' AND first_position > 16384`)
	d.tamper(`DELETE FROM ledger_batches WHERE log = 'events' AND first_position > 16384`)
	for range 5 {
		require.True(t, refused(round()))
	}
	d.tamper(`INSERT INTO ledger_batches SELECT * FROM away`)
	require.NoError(t, round())
}

// numbersNothing is a session in which no batches wait.
type numbersNothing struct{ session }

func (numbersNothing) NumberPending(context.Context) (int, error) { return 0, nil }

// TestTilesAheadOfTheNotary: tiles that somebody wrote before the notary came to it are not signed over,
// also where no patrol has been there.
func TestTilesAheadOfTheNotary(t *testing.T) {
	t.Parallel()
	d := newDatabase(t)
	file := tempState(t)
	n := d.notary(file, key(t, 1))
	stop := n.start()
	d.grow(ledger.Events, 1, 100)
	n.signs(d, ledger.Events, 100)
	stop()
	d.grow(ledger.Events, 1, 300)
	d.exec(`INSERT INTO ledger_tiles (log, level, tile, first, hashes) VALUES ('events', 1, 0, 0, decode(repeat('ab', 32), 'hex'))`)
	n = d.notary(file, key(t, 1))
	n.lap = 1 << 60
	n.start()
	require.Contains(t, n.refuses(ledger.Events, tiles), "its tiles give the root")
	so := refusals(t, n)
	n.eventually("it has looked again", func() bool { return refusals(t, n) >= so+2 })
	require.EqualValues(t, 100, d.count(`SELECT max(size) FROM ledger_checkpoints`))
}

// TestRefusesAnOlderCopy: a database restored from a copy, beside the file of the one that went on.
func TestRefusesAnOlderCopy(t *testing.T) {
	t.Parallel()
	d, file := signedLog(t)
	d.pool.Reset()
	name := "copy_" + strings.ToLower(strings.NewReplacer("/", "_").Replace(t.Name()))
	config, err := pgx.ParseConfig(d.url)
	require.NoError(t, err)
	require.NoError(t, d.owner.Close(t.Context()))
	admin := config.Copy()
	admin.Database = "postgres"
	conn, err := pgx.ConnectConfig(t.Context(), admin)
	require.NoError(t, err)
	defer conn.Close(context.Background()) //nolint:errcheck // the test is over
	_, err = conn.Exec(t.Context(), "CREATE DATABASE "+pgx.Identifier{name}.Sanitize()+" TEMPLATE "+pgx.Identifier{config.Database}.Sanitize())
	require.NoError(t, err)
	defer func() {
		_, err := conn.Exec(context.Background(), "DROP DATABASE "+pgx.Identifier{name}.Sanitize()+" WITH (FORCE)")
		require.NoError(t, err)
	}()

	d = open(t, d.url)
	n := d.notary(file, key(t, 1))
	stop := n.start()
	d.grow(ledger.Events, 1, 500)
	n.signs(d, ledger.Events, 70_500)
	stop()

	older := open(t, strings.Replace(d.url, "/"+config.Database, "/"+name, 1))
	require.EqualValues(t, 70_000, older.size(ledger.Events))
	n = older.notary(file, key(t, 1))
	n.start()
	n.refuses(ledger.Events, rolledBack)
	older.grow(ledger.Events, 3, 600)
	n.refuses(ledger.Events, forked)
}
