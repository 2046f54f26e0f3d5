package verify_test

import (
	"context"
	"crypto/rand"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"
	"golang.org/x/mod/sumdb/note"

	"audittrail/modules/event"
	"audittrail/modules/ledger"
	"audittrail/modules/migrate/migratetest"
	"audittrail/modules/protect/protecttest"
	"audittrail/modules/store"
	"audittrail/modules/verify"
)

const origin = "audit.example.com/test"

// history is an event store with events in several partitions, signed as the notary does it.
type history struct {
	url    string
	admin  *pgxpool.Pool // a superuser
	pool   *pgxpool.Pool // ingest's
	append *store.Appender
	key    ledger.SigningKey
	keys   ledger.Keys
	next   int64 // offset
}

var topicID = event.TopicID{7}

func newHistory(t testing.TB) *history {
	t.Helper()
	return historyAt(t, migratetest.Database(t), newKey(t))
}

func historyAt(t testing.TB, url string, key ledger.SigningKey) *history {
	t.Helper()
	h := &history{url: url, key: key, keys: keysOf(t, key)}
	h.admin = open(t, h.url)
	h.pool = open(t, migratetest.AsRole(t, h.url, "audittrail_ingest"))
	h.append = store.NewAppender(store.AppenderOptions{Pool: h.pool})
	_, err := h.append.EnsureOffsets(t.Context(), []store.PartitionStart{{Partition: partition()}})
	require.NoError(t, err)
	return h
}

func open(t testing.TB, url string) *pgxpool.Pool {
	t.Helper()
	pool, err := pgxpool.New(t.Context(), url)
	require.NoError(t, err)
	t.Cleanup(pool.Close)
	return pool
}

func partition() store.Partition { return store.Partition{TopicID: topicID, Topic: "orders"} }

func newKey(t testing.TB) ledger.SigningKey {
	t.Helper()
	key, err := ledger.GenerateKey(origin, rand.Reader)
	require.NoError(t, err)
	return key
}

func keysOf(t testing.TB, keys ...ledger.SigningKey) ledger.Keys {
	t.Helper()
	var texts []string
	for _, key := range keys {
		texts = append(texts, key.VerifierKey(ledger.Events), key.VerifierKey(ledger.Access))
	}
	parsed, err := ledger.ParseKeys(texts...)
	require.NoError(t, err)
	return parsed
}

// id is the n-th event's id, from 0: its position where nothing is repeated.
func id(n int64) string { return fmt.Sprintf("00000000-0000-4000-8000-%012d", n) }

// at is the n-th event's timestamp: neighbours lie in different months.
func at(n int64) time.Time {
	return time.Date(2019, 1, 1, 0, 0, int(n), 0, time.UTC).AddDate(0, int(n%5)*7, 0)
}

func (h *history) batch(t testing.TB, count int64) store.Batch {
	t.Helper()
	b := store.Batch{Ranges: []store.Range{{Partition: partition(), From: h.next, To: h.next + count}}}
	for n := h.next; n < h.next+count; n++ {
		value := fmt.Sprintf(`{"eventId":%q,"eventType":"OrderPlaced","aggregateId":"order-%d","aggregateType":"Order",
			"timestamp":%q,"version":1,"payload":{"total":%d.50,"lines":[{"sku":"a","quantity":2}]},
			"metadata":{"correlationId":"c-%d","userId":"u-1","source":"shop"}}`, id(n), n/3, event.FormatTime(at(n)), n, n/3)
		decoded, rejected := event.Decode(event.Raw{
			Coordinates: event.Coordinates{TopicID: topicID, Topic: "orders", Offset: n}, Value: []byte(value),
		})
		require.Nil(t, rejected)
		valid, rejected := decoded.Validate(event.Rules{MaxDepth: 64, MaxRecordBytes: 1 << 20, MaxFuture: time.Hour}, time.Now())
		require.Nil(t, rejected)
		b.Events = append(b.Events, protecttest.Seal(valid))
	}
	return b
}

// grow appends a batch.
func (h *history) grow(t testing.TB, count int64) {
	t.Helper()
	b := h.batch(t, count)
	h.next += count
	receipt, err := h.append.Append(t.Context(), b)
	require.NoError(t, err)
	require.EqualValues(t, count, receipt.Stored)
}

// sign makes the tiles and a checkpoint of the log as it is, and answers the signed note.
func (h *history) sign(t testing.TB, keys ...ledger.SigningKey) []byte {
	t.Helper()
	if keys == nil {
		keys = []ledger.SigningKey{h.key}
	}
	return h.signLog(t, ledger.Events, keys...)
}

func (h *history) signLog(t testing.TB, log ledger.Log, keys ...ledger.SigningKey) []byte {
	t.Helper()
	ctx := t.Context()
	rows := store.NewLedger(h.admin, log)
	built, err := rows.Built(ctx)
	require.NoError(t, err)
	size, err := rows.Size(ctx)
	require.NoError(t, err)
	require.NoError(t, ledger.BuildTiles(ctx, rows, built, size, func(ctx context.Context, _ int64, parts []ledger.TilePart) error {
		return rows.WriteTiles(ctx, parts)
	}))
	prover, err := ledger.NewProver(rows, size)
	require.NoError(t, err)
	root, err := prover.Root(ctx)
	require.NoError(t, err)
	checkpoint := ledger.Checkpoint{Origin: log.Origin(origin), Size: size, Root: root}
	signed := noteOf(t, checkpoint, keys...)
	require.NoError(t, rows.KeepCheckpoint(ctx, store.Checkpoint{Size: size, Root: root, Note: string(signed), SignedAt: time.Now()}))
	return signed
}

func noteOf(t testing.TB, c ledger.Checkpoint, keys ...ledger.SigningKey) []byte {
	t.Helper()
	var signers []note.Signer
	for _, key := range keys {
		log, _ := ledger.LogOf(c.Origin)
		signer, err := key.Signer(log)
		require.NoError(t, err)
		signers = append(signers, signer)
	}
	signed, err := c.Sign(signers...)
	require.NoError(t, err)
	return signed
}

// standardKey signs all standard histories, which are copies of one.
var standardKey = sync.OnceValues(func() (ledger.SigningKey, error) { return ledger.GenerateKey(origin, rand.Reader) })

// standard is a history of 630 signed events in three batches and 20 that are not signed yet.
func standard(t testing.TB) *history {
	t.Helper()
	key, err := standardKey()
	require.NoError(t, err)
	url := migratetest.Copy(t, "standard", func(url string) {
		h := historyAt(t, url, key)
		for _, count := range []int64{100, 200, 330} {
			h.grow(t, count)
			h.sign(t)
		}
		h.grow(t, 20)
		h.admin.Close()
		h.pool.Close()
	})
	h := historyAt(t, url, key)
	h.next = 650
	return h
}

// tamper does what a superuser can do with all triggers out of the way.
func (h *history) tamper(t testing.TB, statements ...string) {
	t.Helper()
	conn, err := h.admin.Acquire(t.Context())
	require.NoError(t, err)
	defer conn.Release()
	_, err = conn.Exec(t.Context(), `DO $$
		DECLARE r regclass;
		BEGIN
			FOR r IN SELECT c.oid FROM pg_class c WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p') LOOP
				EXECUTE format('ALTER TABLE %s DISABLE TRIGGER ALL', r);
			END LOOP;
		END $$`)
	require.NoError(t, err)
	_, err = conn.Exec(t.Context(), `DROP VIEW IF EXISTS analyst_events, analyst_steps`) // they keep columns from changing
	require.NoError(t, err)
	for _, statement := range statements {
		_, err := conn.Exec(t.Context(), statement)
		require.NoError(t, err, statement)
	}
}

func (h *history) verify(t testing.TB, change ...func(*verify.Options)) *verify.Report {
	t.Helper()
	opts := verify.Options{Keys: h.keys, Workers: 3, Connect: func(ctx context.Context) (*pgx.Conn, error) {
		return pgx.Connect(ctx, migratetest.AsRole(t, h.url, "audittrail_maintain"))
	}}
	for _, f := range change {
		f(&opts)
	}
	report, err := verify.Run(t.Context(), opts)
	require.NoError(t, err)
	return report
}

// tampered verifies a standard history after a superuser's statements.
func tampered(t testing.TB, statements ...string) *verify.Report {
	t.Helper()
	h := standard(t)
	h.tamper(t, statements...)
	return h.verify(t)
}

// found are the findings of a kind.
func found(r *verify.Report, kind verify.Kind) []verify.Finding {
	var list []verify.Finding
	for _, f := range r.Findings {
		if f.Kind == kind {
			list = append(list, f)
		}
	}
	return list
}

// names fails unless a finding of the kind names the n-th event at its position.
func names(t testing.TB, r *verify.Report, kind verify.Kind, n int64) {
	t.Helper()
	namesAs(t, r, kind, id(n), n)
}

// namesAs fails unless a finding of the kind names a position by an event id.
func namesAs(t testing.TB, r *verify.Report, kind verify.Kind, eventID string, position int64) {
	t.Helper()
	require.False(t, r.Intact)
	ok := slices.ContainsFunc(found(r, kind), func(f verify.Finding) bool {
		return f.EventID == eventID && f.Position != nil && *f.Position == position && f.End == nil
	})
	require.True(t, ok, "no %s of event %s at %d: %s", kind, eventID, position, show(r))
}

func show(r *verify.Report) string {
	text := ""
	for _, f := range r.Findings {
		position := int64(-1)
		if f.Position != nil {
			position = *f.Position
		}
		text += fmt.Sprintf("\n%s %s %d %v: %s", f.Kind, f.EventID, position, f.End, f.Detail)
	}
	return text
}

// event reads an event as it stands, around all that is under test.
func (h *history) event(t testing.TB, n int64) event.Stored {
	t.Helper()
	parsed, err := event.ParseID(id(n))
	require.NoError(t, err)
	e, err := store.NewReader(store.ReaderOptions{Pool: h.admin}).Event(t.Context(), parsed)
	require.NoError(t, err)
	return e
}

// refit makes the leaf of an event fit its row again.
func (h *history) refit(t testing.TB, n int64) {
	t.Helper()
	e := h.event(t, n)
	leaf := ledger.EventLeaf(&e)
	tag, err := h.admin.Exec(t.Context(), `UPDATE ledger_batches SET leaves = overlay(leaves placing $1::bytea from (1 + 32 * ($2 - first_position))::int)
		WHERE log = 'events' AND $2 >= first_position AND $2 < first_position + count`, leaf[:], n)
	require.NoError(t, err)
	require.EqualValues(t, 1, tag.RowsAffected())
}

func (h *history) digest(t testing.TB, n int64) []byte {
	t.Helper()
	e := h.event(t, n)
	d := e.Digest()
	return d[:]
}
