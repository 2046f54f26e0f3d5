package notary

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"io/fs"
	"log/slog"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/stretchr/testify/require"

	"audittrail/modules/ledger"
	"audittrail/modules/migrate/migratetest"
	"audittrail/modules/store"
	"audittrail/platform/postgres"
)

const origin = "audit.example.com/shop"

// key is a signing key out of one byte.
func key(t testing.TB, seed byte) ledger.SigningKey {
	t.Helper()
	k, err := ledger.GenerateKey(origin, bytes.NewReader(bytes.Repeat([]byte{seed}, 32)))
	require.NoError(t, err)
	return k
}

// trust are the verifier keys of all logs.
func trust(t testing.TB, keys ...ledger.SigningKey) ledger.Keys {
	t.Helper()
	var texts []string
	for _, k := range keys {
		for _, log := range ledger.Logs() {
			texts = append(texts, k.VerifierKey(log))
		}
	}
	trusted, err := ledger.ParseKeys(texts...)
	require.NoError(t, err)
	return trusted
}

// database is a database with logs that grow by synthetic leaves, and a superuser's eyes and hands.
type database struct {
	t     testing.TB
	url   string
	pool  *pgxpool.Pool // the notary's
	owner *pgx.Conn
	batch int64
}

func newDatabase(t testing.TB) *database { return open(t, migratetest.Database(t)) }

func open(t testing.TB, url string) *database {
	t.Helper()
	d := &database{t: t, url: url}
	var err error
	d.pool, err = postgres.Open(context.Background(), postgres.PoolOptions{
		URL: url, Name: "notary", Role: "audittrail_notary", MaxConns: 4, DurableCommits: true,
	})
	require.NoError(t, err)
	t.Cleanup(d.pool.Close)
	d.owner, err = pgx.Connect(t.Context(), url)
	require.NoError(t, err)
	t.Cleanup(func() { _ = d.owner.Close(context.Background()) })
	return d
}

// exec does what only a superuser can.
func (d *database) exec(sql string, args ...any) {
	d.t.Helper()
	_, err := d.owner.Exec(d.t.Context(), sql, args...)
	require.NoError(d.t, err)
}

// tamper does it to history, in spite of all triggers.
func (d *database) tamper(sql string, args ...any) {
	d.t.Helper()
	d.exec(`SET session_replication_role = replica`)
	for _, table := range []string{"ledger_batches", "ledger_tiles", "ledger_checkpoints", "ledger_signatures"} {
		d.exec(`ALTER TABLE ` + table + ` DISABLE TRIGGER ALL`)
	}
	tag, err := d.owner.Exec(d.t.Context(), sql, args...)
	require.NoError(d.t, err)
	require.NotZero(d.t, tag.RowsAffected(), "the damage was done")
}

func (d *database) count(sql string) (n int64) {
	d.t.Helper()
	require.NoError(d.t, d.owner.QueryRow(d.t.Context(), sql).Scan(&n))
	return n
}

// leaf is the n-th leaf of a log of a seed.
func leaf(seed byte, n int64) ledger.Hash {
	var b [9]byte
	b[0] = seed
	binary.BigEndian.PutUint64(b[1:], uint64(n))
	return sha256.Sum256(b[:])
}

// grow appends batches of synthetic leaves to a log, in one transaction.
func (d *database) grow(log ledger.Log, seed byte, counts ...int) {
	d.t.Helper()
	size := d.size(log)
	tx, err := d.owner.Begin(d.t.Context())
	require.NoError(d.t, err)
	for _, count := range counts {
		leaves := make([]byte, 0, 32*count)
		for i := range int64(count) {
			h := leaf(seed, size+i)
			leaves = append(leaves, h[:]...)
		}
		d.batch++
		_, err := tx.Exec(d.t.Context(), `INSERT INTO ledger_batches (log, first_position, batch, count, recorded_at, earliest, latest, leaves)
			VALUES ($1, $2, $3, $4, now(), now(), now(), $5)`, string(log), size, size<<20+d.batch, count, leaves)
		require.NoError(d.t, err)
		size += int64(count)
	}
	require.NoError(d.t, tx.Commit(d.t.Context()))
}

func (d *database) size(log ledger.Log) int64 {
	d.t.Helper()
	size, err := store.NewLedger(d.pool, log).Size(d.t.Context())
	require.NoError(d.t, err)
	return size
}

// checkpoints are all that are kept of a log, each verified with keys, against a plain computation of the
// root from the log's leaves.
func (d *database) checkpoints(log ledger.Log, keys ledger.Keys) []ledger.Signed {
	d.t.Helper()
	rows := store.NewLedger(d.pool, log)
	kept, err := rows.Checkpoints(d.t.Context(), 0, 10_000)
	require.NoError(d.t, err)
	var signed []ledger.Signed
	var f frontier
	for _, c := range kept {
		opened, err := ledger.OpenCheckpoint([]byte(c.Note), keys)
		require.NoError(d.t, err)
		require.NoError(d.t, f.extend(d.t.Context(), rows, c.Size, nil))
		require.Equal(d.t, ledger.Checkpoint{Origin: log.Origin(origin), Size: c.Size, Root: f.root()}, opened.Checkpoint)
		require.Equal(d.t, c.Root, opened.Root)
		require.WithinDuration(d.t, time.Now(), c.SignedAt, time.Hour)
		signed = append(signed, opened)
	}
	return signed
}

// witness remembers every root that anybody signed for a size, to see that there are never two.
type witness struct {
	mu    sync.Mutex
	roots map[string]ledger.Hash
	forks []string
}

func (w *witness) see(note string) {
	text, _, _ := bytes.Cut([]byte(note), []byte("\n\n"))
	c, err := ledger.ParseCheckpoint(string(text) + "\n")
	w.mu.Lock()
	defer w.mu.Unlock()
	if err != nil {
		w.forks = append(w.forks, "no checkpoint: "+note)
		return
	}
	head := c.Origin + " " + time.Duration(c.Size).String()
	if root, known := w.roots[head]; known && root != c.Root {
		w.forks = append(w.forks, head)
	}
	if w.roots == nil {
		w.roots = make(map[string]ledger.Hash)
	}
	w.roots[head] = c.Root
}

// notary is a role under test.
type notary struct {
	*Role
	t        testing.TB
	registry *prometheus.Registry
	file     string
	witness  *witness
	fault    *fault
}

func (d *database) notary(file string, keys ...ledger.SigningKey) *notary {
	d.t.Helper()
	n, err := d.tryNotary(file, keys...)
	require.NoError(d.t, err)
	return n
}

func (d *database) tryNotary(file string, keys ...ledger.SigningKey) (*notary, error) {
	return d.tryNotaryAfter(file, ledger.Keys{}, keys...)
}

// tryNotaryAfter is a notary that knows retired keys.
func (d *database) tryNotaryAfter(file string, retired ledger.Keys, keys ...ledger.SigningKey) (*notary, error) {
	n := &notary{t: d.t, registry: prometheus.NewRegistry(), file: file, witness: &witness{}, fault: &fault{}}
	var err error
	n.Role, err = New(Options{Interval: 10 * time.Millisecond, StateFile: file},
		Dependencies{Pool: d.pool, Keys: keys, Retired: retired, Log: slog.New(slog.DiscardHandler), Metrics: n.registry})
	if err != nil {
		return nil, err
	}
	n.pace, n.lap = 10*time.Millisecond, 20*time.Millisecond
	lead := n.lead
	n.lead = func(ctx context.Context) (session, bool, error) {
		s, ok, err := lead(ctx)
		if err != nil || !ok {
			return nil, false, err
		}
		return &faultySession{s, n.fault, n.witness}, true, nil
	}
	n.memory = &faultyMemory{n.memory, n.fault, n.witness}
	return n, nil
}

// stateFile is a path that is not there yet.
func tempState(t testing.TB) string { return filepath.Join(t.TempDir(), "state", "notary.json") }

// start runs the role until stop is called or the test is over. It waits for nothing.
func (n *notary) start() (stop func()) {
	n.t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- n.Run(ctx, func() {}) }()
	stop = sync.OnceFunc(func() {
		cancel()
		require.NoError(n.t, <-ended)
		require.Empty(n.t, n.witness.forks)
	})
	n.t.Cleanup(stop)
	return stop
}

func (n *notary) eventually(what string, condition func() bool) {
	n.t.Helper()
	require.Eventually(n.t, condition, 60*time.Second, 5*time.Millisecond, what)
}

// signs waits until the log is signed up to a size.
func (n *notary) signs(d *database, log ledger.Log, size int64) {
	n.t.Helper()
	n.eventually("a checkpoint", func() bool {
		c, ok, err := store.NewLedger(d.pool, log).LatestCheckpoint(context.Background())
		return err == nil && ok && c.Size == size && n.Health(context.Background()) == nil
	})
}

// refuses waits until the role refuses for a reason and has counted that, and gives its words.
func (n *notary) refuses(log ledger.Log, why reason) string {
	n.t.Helper()
	var found *refusal
	n.eventually("a refusal: "+string(why), func() bool {
		refusals, _ := split(n.Health(context.Background()))
		i := slices.IndexFunc(refusals, func(r *refusal) bool { return r.log == log && r.reason == why })
		if i >= 0 {
			found = refusals[i]
		}
		return i >= 0 && testutil.ToFloat64(n.metrics.refusals.WithLabelValues(string(log), string(why))) > 0
	})
	return found.Error()
}

// errCrash is what a process that died has left behind: nothing that it could do after.
var errCrash = errors.New("crashed")

// fault lets the role die at a step: before it is done, or after it was done and before the role knows.
// From then on nothing works, as for a process that is gone.
type fault struct {
	mu    sync.Mutex
	step  string
	after bool
	skip  int // times that the step goes well before
	dead  bool
}

func (f *fault) arm(step string, after bool, skip int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.step, f.after, f.skip, f.dead = step, after, skip, false
}

func (f *fault) crashed() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.dead
}

func (f *fault) do(step string, work func() error) error {
	f.mu.Lock()
	hit := f.step == step && f.skip == 0
	if f.step == step && f.skip > 0 {
		f.skip--
	}
	if f.dead || hit && !f.after {
		f.dead = true
		f.mu.Unlock()
		return errCrash
	}
	f.mu.Unlock()
	err := work()
	if hit {
		f.mu.Lock()
		f.dead = true
		f.mu.Unlock()
		return errCrash
	}
	return err
}

type faultySession struct {
	session
	fault   *fault
	witness *witness
}

func (s *faultySession) Ledger(log ledger.Log) rows {
	return &faultyRows{s.session.Ledger(log), s.fault, s.witness}
}

func (s *faultySession) NumberPending(ctx context.Context) (n int, err error) {
	err = s.fault.do("number", func() error { n, err = s.session.NumberPending(ctx); return err })
	return n, err
}

func (s *faultySession) Harden(ctx context.Context) error {
	return s.fault.do("harden", func() error { return s.session.Harden(ctx) })
}

type faultyRows struct {
	rows
	fault   *fault
	witness *witness
}

func (r *faultyRows) WriteTiles(ctx context.Context, parts []ledger.TilePart) error {
	return r.fault.do("tiles", func() error { return r.rows.WriteTiles(ctx, parts) })
}

func (r *faultyRows) KeepCheckpoint(ctx context.Context, c store.Checkpoint) error {
	return r.fault.do("keep", func() error {
		r.witness.see(c.Note)
		return r.rows.KeepCheckpoint(ctx, c)
	})
}

func (r *faultyRows) AddSignatures(ctx context.Context, size int64, added []store.Signature, at time.Time) error {
	return r.fault.do("add", func() error { return r.rows.AddSignatures(ctx, size, added, at) })
}

type faultyMemory struct {
	memory
	fault   *fault
	witness *witness
}

func (m *faultyMemory) Save(ctx context.Context, known, s State) (ahead bool, err error) {
	err = m.fault.do("save", func() error {
		for _, l := range s.Logs {
			m.witness.see(l.Checkpoint)
		}
		ahead, err = m.memory.Save(ctx, known, s)
		return err
	})
	return ahead, err
}

// remembers is what is in the role's memory.
func (n *notary) remembers() map[ledger.Log]head {
	n.t.Helper()
	s, err := ReadState(n.file)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	require.NoError(n.t, err)
	heads, err := n.verify(s)
	require.NoError(n.t, err)
	return heads
}

func storeRows(d *database) rows { return store.NewLedger(d.pool, ledger.Events) }
