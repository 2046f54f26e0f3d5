package erase_test

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"audittrail/modules/erase"
	"audittrail/modules/event"
	"audittrail/modules/migrate/migratetest"
	"audittrail/modules/protect"
	"audittrail/modules/protect/protecttest"
	"audittrail/modules/store"
)

// system is an event store with a database of keys, and all that erases.
type system struct {
	t        *testing.T
	url, own string // of the events, of the keys
	kek      protect.KEK
	rules    *protect.Rules
	next     int64
	append   *store.Appender
	seal     *protect.Protector
}

var topic = event.TopicID{1}

func newSystem(t *testing.T, apart bool) *system {
	t.Helper()
	s := &system{t: t, url: migratetest.Database(t), kek: &protecttest.KEK{}}
	if s.own = s.url; apart {
		s.own = migratetest.Database(t)
	}
	var err error
	s.rules, err = protect.NewRules([]protect.RuleOptions{{EventType: "*", Path: "$.payload.name", Subject: "$.payload.person", Search: true}})
	require.NoError(t, err)
	s.append = store.NewAppender(store.AppenderOptions{Pool: s.pool(s.url, "audittrail_ingest")})
	_, err = s.append.EnsureOffsets(t.Context(), []store.PartitionStart{{Partition: store.Partition{TopicID: topic, Topic: "orders"}}})
	require.NoError(t, err)
	s.seal = protect.WithRules(s.rules, s.keyring())
	return s
}

func (s *system) pool(url, role string) *pgxpool.Pool {
	s.t.Helper()
	pool, err := pgxpool.New(s.t.Context(), migratetest.AsRole(s.t, url, role))
	require.NoError(s.t, err)
	s.t.Cleanup(pool.Close)
	return pool
}

func (s *system) keyring() *protect.Keyring {
	return protect.NewKeyring(store.NewKeys(s.pool(s.own, "audittrail_ingest")), func(context.Context) (protect.KEK, error) { return s.kek, nil })
}

// record is a record about a person, sealed.
func (s *system) record(person int, at time.Time) protect.Sealed {
	s.t.Helper()
	value := fmt.Sprintf(`{"eventId":"00000000-0000-4000-8000-%012d","eventType":"Changed","aggregateId":"a","aggregateType":"Account",
		"timestamp":"2026-01-02T03:04:05Z","version":1,"payload":{"person":"p-%d","name":"mark-%d."}}`, s.next+1, person, person)
	decoded, rejected := event.Decode(event.Raw{Coordinates: event.Coordinates{TopicID: topic, Topic: "orders", Offset: s.next}, Time: at, Value: []byte(value)})
	require.Nil(s.t, rejected)
	valid, rejected := decoded.Validate(event.DefaultRules(), time.Now())
	require.Nil(s.t, rejected)
	sealed, err := s.seal.Seal(s.t.Context(), []event.Valid{valid})
	require.NoError(s.t, err)
	return sealed[0]
}

func (s *system) store(e protect.Sealed) {
	s.t.Helper()
	_, err := s.append.Append(s.t.Context(), store.Batch{
		Ranges: []store.Range{{Partition: store.Partition{TopicID: topic, Topic: "orders"}, From: s.next, To: s.next + 1}}, Events: []protect.Sealed{e},
	})
	require.NoError(s.t, err)
	s.next++
}

func (s *system) grow(persons int, at time.Time) {
	s.t.Helper()
	for person := range persons {
		s.store(s.record(person, at))
	}
}

// read reads everything as who may see all.
func (s *system) read() string {
	s.t.Helper()
	text, err := s.tryRead()
	require.NoError(s.t, err)
	return text
}

func (s *system) tryRead() (string, error) {
	s.t.Helper()
	r := store.NewReader(store.ReaderOptions{Pool: s.pool(s.url, "audittrail_api"), Opener: protect.NewOpener(s.keyring())})
	var all strings.Builder
	for page, err := range r.Export(store.WithOpening(s.t.Context(), store.Everything(), nil), store.Filter{}, store.Ascending, "", 1<<40) {
		if err != nil {
			return "", err
		}
		for i := range page {
			_, _ = all.Write(page[i].AppendJSON(nil))
		}
	}
	return all.String(), nil
}

func (s *system) service(journal string) *erase.Service {
	s.t.Helper()
	return erase.NewService(s.dependencies(journal))
}

func (s *system) dependencies(journal string) erase.Dependencies {
	s.t.Helper()
	return erase.Dependencies{
		Shreds: store.NewShreds(s.pool(s.url, "audittrail_maintain")), Keys: store.NewKeyDestroyer(s.pool(s.own, "audittrail_maintain")),
		Owner: s.pool(s.url, "audittrail_owner"), KeysOwner: s.pool(s.own, "audittrail_owner"),
		Journal: erase.NewJournal(journal), Log: slog.New(slog.DiscardHandler), Settle: time.Millisecond,
	}
}

func (s *system) requester() *erase.Requester {
	api := s.pool(s.url, "audittrail_api")
	return &erase.Requester{Hash: s.keyring().Hash, Surveyor: erase.Surveyor{
		Reader: store.NewReader(store.ReaderOptions{Pool: api, Scoped: true}), Shreds: store.NewShreds(api),
		Keys: store.NewKeys(s.pool(s.own, "audittrail_api")), Rules: s.rules,
	}}
}

func (s *system) request(subject string) event.ID {
	s.t.Helper()
	id, _, err := s.requester().Request(s.t.Context(), erase.Asked{Subject: subject, Reason: "DPO-118", Principal: "ann"})
	require.NoError(s.t, err)
	return id
}

func (s *system) finish(by *erase.Service, id event.ID) store.Shred {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(s.t.Context(), 2*time.Minute)
	defer cancel()
	done, err := by.Finish(ctx, id, func(store.ShredState) {})
	require.NoError(s.t, err)
	by.Close()
	return done
}

// count asks one of the databases.
func count(t *testing.T, url, sql string, args ...any) (n int) {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), url)
	require.NoError(t, err)
	defer func() { _ = conn.Close(context.Background()) }()
	require.NoError(t, conn.QueryRow(t.Context(), sql, args...).Scan(&n))
	return n
}

// back sets a database back to a copy of it, as a restored backup does.
func back(t *testing.T, url string) (restore func()) {
	t.Helper()
	config, err := pgx.ParseConfig(url)
	require.NoError(t, err)
	admin := config.Copy()
	admin.Database = "postgres"
	run := func(statements ...string) {
		conn, err := pgx.ConnectConfig(context.Background(), admin)
		require.NoError(t, err)
		defer func() { _ = conn.Close(context.Background()) }()
		for _, sql := range statements {
			_, err = conn.Exec(context.Background(), sql)
			require.NoError(t, err, sql)
		}
	}
	alone := `SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '` + config.Database + `'`
	kept := config.Database + "_backup"
	run(alone, "CREATE DATABASE "+kept+" TEMPLATE "+config.Database)
	return func() {
		run("DROP DATABASE "+config.Database+" WITH (FORCE)", "ALTER DATABASE "+kept+" RENAME TO "+config.Database)
	}
}

// What a backup brings back is erased again by the journal: whichever database was restored.
func TestAJournalErasesWhatABackupBringsBack(t *testing.T) {
	t.Parallel()
	for name, restored := range map[string]struct{ apart, events, keys bool }{
		"one database": {false, true, false}, "both": {true, true, true}, "the keys alone": {true, false, true}, "the events alone": {true, true, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newSystem(t, restored.apart)
			journal := filepath.Join(t.TempDir(), "journal")
			s.grow(3, time.Now().Add(-time.Hour))
			var restore []func()
			if restored.events {
				restore = append(restore, back(t, s.url))
			}
			if restored.keys {
				restore = append(restore, back(t, s.own))
			}
			first := s.finish(s.service(journal), s.request("p-1"))
			require.EqualValues(t, 1, first.Swept.Events)
			require.NotContains(t, s.read(), "mark-1.")
			for _, again := range restore {
				again()
			}
			if restored.keys || !restored.apart {
				require.Contains(t, s.read(), "mark-1.", "the backup opens it")
			}

			entries, err := erase.NewJournal(journal).Read()
			require.NoError(t, err)
			require.Len(t, entries, 1)
			service := s.service(filepath.Join(t.TempDir(), "another"))
			again, err := service.Restore(t.Context(), entries)
			require.NoError(t, err)
			require.Equal(t, []event.ID{first.ID}, again)
			text := s.read()
			require.NotContains(t, text, "mark-1.", "at once")
			require.Contains(t, text, "mark-0.")
			done := s.finish(service, first.ID)
			require.True(t, done.Restored)
			require.Equal(t, first.ErasedAt, done.ErasedAt, "as old records are told from new ones")
			require.Zero(t, count(t, s.url, `SELECT count(*) FROM sealed_tokens WHERE key = $1`, [16]byte(first.Keys[0])))
			require.Equal(t, 1, count(t, s.url, `SELECT count(*) FROM event_keys WHERE get_byte(digest, 0) = 0`))

			again, err = service.Restore(t.Context(), entries)
			require.NoError(t, err)
			require.Empty(t, again, "what is known is left as it is")
			service.Close()
		})
	}
}

// Two processes that erase one subject at once both end well, and so do two requests.
func TestErasedTwiceAtOnce(t *testing.T) {
	t.Parallel()
	s := newSystem(t, true)
	s.grow(2, time.Now().Add(-time.Hour))
	one, two := s.request("p-1"), s.request("p-1")
	var all sync.WaitGroup
	for _, id := range []event.ID{one, one, two, two} {
		service := s.service(filepath.Join(t.TempDir(), "journal"))
		all.Go(func() {
			if _, err := service.Finish(t.Context(), id, func(store.ShredState) {}); err != nil {
				t.Error(err)
			}
			service.Close()
		})
	}
	all.Wait()
	require.NotContains(t, s.read(), "mark-1.")
	require.Contains(t, s.read(), "mark-0.")
	require.Equal(t, 2, count(t, s.url, `SELECT count(*) FROM access_log WHERE entry ->> 'phase' = 'done'`), "one certificate each")
	require.Equal(t, 1, count(t, s.own, `SELECT count(*) FROM subject_keys WHERE wrapped IS NULL`))
}

// A batch that was sealed before the key was destroyed, and is stored after it, is swept too.
func TestABatchInFlightIsSwept(t *testing.T) {
	t.Parallel()
	s := newSystem(t, false)
	s.grow(2, time.Now().Add(-time.Hour))
	late := s.record(1, time.Now().Add(-time.Hour))
	id, service := s.request("p-1"), s.service("")
	shreds := store.NewShreds(s.pool(s.url, "audittrail_api"))
	step := func() {
		shred, err := shreds.Get(t.Context(), id)
		require.NoError(t, err)
		require.NoError(t, service.Advance(t.Context(), shred))
	}
	step() // destroyed
	s.store(late)
	done := s.finish(service, id)
	require.EqualValues(t, 2, done.Swept.Events)
	require.Zero(t, count(t, s.url, `SELECT count(*) FROM sealed_tokens WHERE key = $1`, [16]byte(done.Keys[0])))
	require.NotContains(t, s.read(), "mark-1.")
}

// A batch that is stored after the sweep, by a process that was stopped for long, is swept once it is seen.
func TestABatchThatIsLateIsSwept(t *testing.T) {
	t.Parallel()
	s := newSystem(t, false)
	s.grow(2, time.Now().Add(-time.Hour))
	late := s.record(1, time.Now().Add(-time.Hour))
	done := s.finish(s.service(""), s.request("p-1"))
	s.store(late)
	key := [16]byte(done.Keys[0])
	require.Equal(t, 1, count(t, s.url, `SELECT count(*) FROM sealed_tokens WHERE key = $1`, key))

	worker, err := erase.NewWorker(s.dependencies(""), nil)
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(t.Context())
	var working sync.WaitGroup
	working.Go(func() { worker.Run(ctx, func() {}) })
	require.Eventually(t, func() bool {
		return count(t, s.url, `SELECT count(*) FROM sealed_tokens WHERE key = $1`, key)+count(t, s.url, `SELECT count(*) FROM sealed_refs WHERE key = $1`, key) == 0
	}, time.Minute, 20*time.Millisecond)
	cancel()
	working.Wait()
	require.Equal(t, 2, count(t, s.url, `SELECT count(*) FROM event_keys WHERE get_byte(digest, 0) = 0`))
	again, err := store.NewShreds(s.pool(s.url, "audittrail_api")).Get(t.Context(), done.ID)
	require.NoError(t, err)
	require.EqualValues(t, 2, again.Swept.Events, "the report has it")
	require.Equal(t, done.Certificate, again.Certificate)
}

// Records from before an erasure are sealed so that nobody can open or find them; newer ones have another key.
func TestOldRecordsStayErased(t *testing.T) {
	t.Parallel()
	s := newSystem(t, false)
	s.grow(2, time.Now().Add(-time.Hour))
	done := s.finish(s.service(""), s.request("p-1"))
	s.store(s.record(1, done.ErasedAt.Add(-time.Millisecond)))
	require.NotContains(t, s.read(), "mark-1.")
	require.Equal(t, 2, count(t, s.url, `SELECT count(*) FROM event_keys WHERE get_byte(digest, 0) = 0`), "its digest confirms no guess")
	require.Equal(t, 1, count(t, s.url, `SELECT count(*) FROM sealed_tokens`), "that of the other subject")
	s.store(s.record(1, done.ErasedAt.Add(time.Millisecond)))
	require.Equal(t, 1, strings.Count(s.read(), "mark-1."))
}

// An erasure waits where its keys are not: it must not say that it is done.
func TestAnotherDatabaseOfKeysErasesNothing(t *testing.T) {
	t.Parallel()
	s := newSystem(t, true)
	s.grow(2, time.Now().Add(-time.Hour))
	id := s.request("p-1")
	shred, err := store.NewShreds(s.pool(s.url, "audittrail_api")).Get(t.Context(), id)
	require.NoError(t, err)
	own := s.own
	s.own = s.url // a process without encryption.keys_url
	require.ErrorContains(t, s.service("").Advance(t.Context(), shred), "encryption.keys_url")
	s.own = own
	require.Contains(t, s.read(), "mark-1.")
}

// Values that were stored before their rule are counted, and identifiers.
func TestAPreviewCountsWhatStays(t *testing.T) {
	t.Parallel()
	s := newSystem(t, false)
	sealing := s.seal
	s.seal = protect.NewProtector()
	s.grow(2, time.Now())
	s.seal = sealing
	s.grow(2, time.Now())
	p, err := s.requester().Preview(t.Context(), erase.Asked{Subject: "p-1", Reason: "DPO-118"})
	require.NoError(t, err)
	require.EqualValues(t, 1, p.Unsealed)
	require.True(t, p.Complete)
	require.EqualValues(t, 1, p.Events)
	require.Equal(t, []string{"orders"}, p.Topics)
	p, err = s.requester().Preview(t.Context(), erase.Asked{Subject: "a", Reason: "DPO-118"})
	require.NoError(t, err)
	require.EqualValues(t, 4, p.AggregateIDs)
	require.Zero(t, count(t, s.url, `SELECT count(*) FROM shreds`))
}

// A journal outlasts a line that was not written to its end, and names one that is none.
func TestJournal(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "journal")
	j := erase.NewJournal(path)
	none, err := j.Read()
	require.NoError(t, err)
	require.Empty(t, none)
	first := erase.Entry{Shred: event.ID{1}, Subject: protect.SubjectHash{2}, Keys: []protect.KeyID{{3}}, At: time.Date(2026, 1, 2, 3, 4, 5, 6000, time.UTC)}
	require.NoError(t, j.Append(first))
	whole, err := os.ReadFile(path)
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(path, append(whole, whole[:20]...), 0o600)) // the machine died
	second := erase.Entry{Shred: event.ID{4}, Subject: protect.SubjectHash{5}, Keys: nil, At: first.At}
	require.NoError(t, j.Append(second))
	read, err := j.Read()
	require.NoError(t, err)
	require.Equal(t, []erase.Entry{first, second}, read)

	require.NoError(t, os.WriteFile(path, append(whole, `{"shred":"x"}`+"\n"...), 0o600))
	_, err = j.Read()
	require.ErrorContains(t, err, "line 2")
	require.NoError(t, (*erase.Journal)(nil).Append(first))
}
