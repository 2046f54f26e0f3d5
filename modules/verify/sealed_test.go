package verify_test

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"audittrail/modules/event"
	"audittrail/modules/migrate/migratetest"
	"audittrail/modules/protect"
	"audittrail/modules/protect/protecttest"
	"audittrail/modules/store"
	"audittrail/platform/errs"
	"audittrail/platform/longtest"
)

const mark = "Ermintrude"

// sealing is a history whose events have sealed fields.
type sealing struct {
	*history
	kek       *protecttest.KEK
	protector *protect.Protector
	keys      *protect.Keyring
}

func sealRules(t testing.TB) *protect.Rules {
	t.Helper()
	rules, err := protect.NewRules([]protect.RuleOptions{
		{EventType: "Order*", Path: "$.payload.customer.name", Subject: "$.payload.customer.id", Search: true},
		{EventType: "Order*", Path: "$.payload.lines[*].note", Subject: "$.payload.customer.id"},
		{EventType: "Order*", Path: "$.metadata.userId", Subject: "$.payload.customer.id", Search: true},
		{EventType: "*", Path: "$.payload.gift"},
	})
	require.NoError(t, err)
	return rules
}

func newSealing(t testing.TB) *sealing {
	t.Helper()
	s := &sealing{history: newHistory(t), kek: &protecttest.KEK{}}
	s.keys = s.keyring(t)
	s.protector = protect.WithRules(sealRules(t), s.keys)
	return s
}

func (s *sealing) keyring(t testing.TB) *protect.Keyring {
	return protect.NewKeyring(store.NewKeys(open(t, migratetest.AsRole(t, s.url, "audittrail_ingest"))), s.kek.Open)
}

// events makes records of subjects customer 0 … customers-1, with marks in all sensitive values.
func (s *sealing) events(count, customers int64) []event.Valid {
	var all []event.Valid
	for n := s.next; n < s.next+count; n++ {
		all = append(all, protecttest.Valid(fmt.Sprintf(`{"eventId":%q,"eventType":"OrderPlaced","aggregateId":"order-%d","aggregateType":"Order",
			"timestamp":%q,"version":1,"payload":{"customer":{"id":"C-%d","name":"%s %d"},"gift":{"to":["%s",1.5]},"total":%d,
			"lines":[{"sku":"a","note":"for %s"},{"sku":"b"},{"note":null,"sku":"c"}]},
			"metadata":{"correlationId":"c","userId":"%s","source":"shop"}}`,
			id(n), n, event.FormatTime(at(n)), n%customers, mark, n%customers, mark, n, mark, mark),
			event.Coordinates{TopicID: topicID, Topic: "orders", Offset: n}))
	}
	return all
}

func (s *sealing) growSealed(t testing.TB, count, customers int64) {
	t.Helper()
	sealed, err := s.protector.Seal(t.Context(), s.events(count, customers))
	require.NoError(t, err)
	_, err = s.append.Append(t.Context(), store.Batch{Ranges: []store.Range{{Partition: partition(), From: s.next, To: s.next + count}}, Events: sealed})
	require.NoError(t, err)
	s.next += count
}

// read reads all events as a caller in some context.
func (s *sealing) read(ctx context.Context, t testing.TB) string {
	t.Helper()
	r := store.NewReader(store.ReaderOptions{Pool: open(t, migratetest.AsRole(t, s.url, "audittrail_api")), Opener: protect.NewOpener(s.keyring(t))})
	var all strings.Builder
	for page, err := range r.Export(ctx, store.Filter{}, store.Ascending, "", 1<<40) {
		require.NoError(t, err)
		for i := range page {
			_, _ = all.Write(page[i].AppendJSON(nil))
		}
	}
	return all.String()
}

// dump is what all tables of the database hold, as text.
func (s *sealing) dump(t testing.TB) string {
	t.Helper()
	var out strings.Builder
	rows, err := s.admin.Query(t.Context(), `SELECT c.oid::regclass::text FROM pg_class c WHERE relnamespace = 'public'::regnamespace AND relkind = 'r'`)
	require.NoError(t, err)
	tables, err := pgx.CollectRows(rows, pgx.RowTo[string])
	require.NoError(t, err)
	conn, err := s.admin.Acquire(t.Context())
	require.NoError(t, err)
	defer conn.Release()
	for _, table := range tables {
		_, err := conn.Conn().PgConn().CopyTo(t.Context(), &out, "COPY "+table+" TO STDOUT")
		require.NoError(t, err)
		_, err = conn.Conn().PgConn().CopyTo(t.Context(), &out, "COPY "+table+" TO STDOUT BINARY")
		require.NoError(t, err)
	}
	return out.String()
}

func TestSealedFieldsAreNowhereInTheDatabase(t *testing.T) {
	t.Parallel()
	s := newSealing(t)
	batch := longtest.Choose[int64](t, 200, 2000)
	for range 5 {
		s.growSealed(t, batch, 300)
		s.sign(t)
	}
	events := int(5 * batch)
	s.append = store.NewAppender(store.AppenderOptions{Pool: s.pool, Letters: protect.NewLetters(s.keys)})
	s.reject(t)
	require.NotContains(t, s.dump(t), mark)
	report := s.verify(t)
	require.Empty(t, report.Findings)

	var opened []protect.KeyID
	all := store.WithOpening(t.Context(), store.Everything(), func(ids []protect.KeyID) { opened = append(opened, ids...) })
	text := s.read(all, t)
	require.Equal(t, events*4, strings.Count(text, mark))
	require.Contains(t, text, `"note":null`)
	require.NotContains(t, text, "$sealed")
	require.NotEmpty(t, opened)

	text = s.read(t.Context(), t)
	require.NotContains(t, text, mark)
	require.Equal(t, events*5, strings.Count(text, `{"$sealed":true}`))

	text = s.read(store.WithOpening(t.Context(), store.Only(store.ScopePart{Sources: []string{"other"}}), nil), t)
	require.NotContains(t, text, mark, "out of the scope of pii:read")

	text = s.read(store.WithStoredForm(t.Context()), t)
	require.NotContains(t, text, mark)
	require.Equal(t, events*5, strings.Count(text, `{"$sealed":"1.`))
}

func TestVerifyFindsAlteredCiphertext(t *testing.T) {
	t.Parallel()
	s := newSealing(t)
	s.growSealed(t, 20, 3)
	s.sign(t)
	s.tamper(t, `UPDATE events SET sealed = set_byte(sealed, octet_length(sealed) - 1, get_byte(sealed, octet_length(sealed) - 1) # 1) WHERE aggregate_id = 'order-7'`)
	require.NotEmpty(t, s.verify(t).Findings)
	text := s.read(store.WithOpening(t.Context(), store.Everything(), nil), t)
	require.Equal(t, 1, strings.Count(text, `{"$sealed":"altered"}`), "what was altered does not open, and all else does")
}

// A ciphertext does not open at another place, whoever puts it there.
func TestCopiedCiphertextDoesNotOpen(t *testing.T) {
	t.Parallel()
	s := newSealing(t)
	s.growSealed(t, 2, 2)
	s.tamper(t, `UPDATE events SET sealed = (SELECT sealed FROM events WHERE aggregate_id = 'order-1') WHERE aggregate_id = 'order-0'`)
	text := s.read(store.WithOpening(t.Context(), store.Everything(), nil), t)
	require.Equal(t, 5, strings.Count(text, `{"$sealed":"altered"}`))
}

func TestRedeliveredRecordsAreDuplicates(t *testing.T) {
	t.Parallel()
	s := newSealing(t)
	first, err := s.protector.Seal(t.Context(), s.events(1, 1))
	require.NoError(t, err)
	plain, err := protect.NewProtector().Seal(t.Context(), s.events(1, 1))
	require.NoError(t, err)
	require.NotEqual(t, plain[0].Digest(), first[0].Digest())
	again, err := s.protector.Seal(t.Context(), s.events(1, 1))
	require.NoError(t, err)
	require.True(t, again[0].Says(first[0].Digest()))
	require.True(t, again[0].Says(plain[0].Digest()), "stored before there were rules")
	s.next = 1
	other, err := s.protector.Seal(t.Context(), s.events(1, 1))
	require.NoError(t, err)
	require.False(t, other[0].Says(first[0].Digest()))
	require.False(t, other[0].Says(plain[0].Digest()))
}

func TestWithoutTheKeyServiceNothingIsSealed(t *testing.T) {
	t.Parallel()
	s := newSealing(t)
	s.kek.Away.Store(true)
	_, err := s.protector.Seal(t.Context(), s.events(1, 1))
	var known *errs.Error
	require.ErrorAs(t, err, &known)
	require.Equal(t, errs.Unavailable, known.Kind)
	s.kek.Away.Store(false)
	s.growSealed(t, 1, 1)
	s.kek.Away.Store(true)
	s.growSealed(t, 5, 5) // wrapping keys are in memory
}

func TestProcessesAgreeOnASubjectsKey(t *testing.T) {
	t.Parallel()
	s := newSealing(t)
	var (
		all   sync.WaitGroup
		mu    sync.Mutex
		first map[protect.KeyID]bool
	)
	events := s.events(50, 50)
	for range 4 {
		p := protect.WithRules(sealRules(t), s.keyring(t))
		all.Go(func() {
			sealed, err := p.Seal(context.Background(), events)
			if err != nil {
				t.Error(err)
				return
			}
			keys := map[protect.KeyID]bool{}
			for i := range sealed {
				for _, id := range sealed[i].Keys() {
					keys[id] = true
				}
			}
			mu.Lock()
			defer mu.Unlock()
			if first == nil {
				first = keys
			}
			if len(keys) != 100 || fmt.Sprint(keys) != fmt.Sprint(first) {
				t.Errorf("%d keys; others have %d", len(keys), len(first))
			}
		})
	}
	all.Wait()
}

// reject stores a record that is no event, and one whose id is taken, and sees that their values open for the API and
// go to no topic.
func (s *sealing) reject(t testing.TB) {
	t.Helper()
	other := strings.Replace(string(s.events(1, 1)[0].Raw().Value), id(s.next), id(0), 1)
	taken, err := s.protector.Seal(t.Context(), []event.Valid{protecttest.Valid(other, event.Coordinates{TopicID: topicID, Topic: "orders", Offset: s.next})})
	require.NoError(t, err)
	receipt, err := s.append.Append(t.Context(), store.Batch{
		Ranges: []store.Range{{Partition: partition(), From: s.next, To: s.next + 2}}, Events: taken,
		Rejected: []event.Rejected{{Reason: event.MalformedJSON, Raw: event.Raw{
			Coordinates: event.Coordinates{TopicID: topicID, Topic: "orders", Offset: s.next + 1}, Value: []byte(strings.Repeat(mark+" is no event ", 10_000)),
		}}},
	})
	require.NoError(t, err)
	require.Equal(t, 2, receipt.DeadLettered)
	s.next += 2
	r := store.NewReader(store.ReaderOptions{Pool: open(t, migratetest.AsRole(t, s.url, "audittrail_api")), Opener: protect.NewOpener(s.keyring(t))})
	page, err := r.DeadLetters(t.Context(), store.DeadLetterFilter{}, store.Page{Limit: 10})
	require.NoError(t, err)
	require.Len(t, page.Items, 2)
	require.Equal(t, other, string(page.Items[0].Raw.Value))
	require.Nil(t, page.Items[0].ValueSHA256)
	require.True(t, page.Items[1].Omitted.Value)
	long := ""
	for slice, err := range r.ReadValue(t.Context(), page.Items[1].ID) {
		require.NoError(t, err)
		long += string(slice)
	}
	require.Equal(t, strings.Repeat(mark+" is no event ", 10_000), long)
	letters, err := store.NewOutbox(s.pool).Next(t.Context(), 0, nil, 10)
	require.NoError(t, err)
	for i := range letters {
		require.Nil(t, letters[i].Raw.Value)
		require.Nil(t, letters[i].Raw.Oversize)
	}
}
