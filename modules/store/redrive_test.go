package store_test

import (
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"audittrail/modules/event"
	"audittrail/modules/protect/protecttest"
	"audittrail/modules/store"
	"audittrail/modules/store/audit"
)

// replayer writes as the role replay does.
func (s testStore) replayer(t testing.TB) *store.Appender {
	t.Helper()
	return store.NewAppender(store.AppenderOptions{Pool: openPool(t, s.url, "audittrail_replay"), Breaker: s.owner})
}

// asked is a request for these dead letters.
func (s testStore) asked(t testing.TB, by string, letters ...int64) store.RedriveRequest {
	t.Helper()
	r := store.RedriveRequest{By: by, Reason: "the rule was relaxed"}
	require.NoError(t, s.owner.QueryRow(t.Context(), `INSERT INTO redrive_requests (created_at, total, edited, created_by, reason)
		VALUES (now(), $1, false, $2, $3) RETURNING id`, len(letters), r.By, r.Reason).Scan(&r.ID))
	return r
}

// relaxed is the letter's record as an event, by rules that let it pass.
func relaxed(t testing.TB, letter int64, raw event.Raw, by string) store.Redriven {
	t.Helper()
	decoded, rejected := event.Decode(raw)
	require.Nil(t, rejected)
	valid, rejected := decoded.Validate(event.DefaultRules(), time.Now())
	require.Nil(t, rejected)
	return store.Redriven{Letter: letter, Event: protecttest.Seal(valid.Redriven(event.Redrive{DeadLetter: letter, By: by, Reason: "the rule was relaxed"}))}
}

// refusedRecords appends n records that no event can be, and returns their letters as events that can be.
func (s testStore) refusedRecords(t testing.TB, n int) (letters []store.Redriven) {
	t.Helper()
	b := store.Batch{Ranges: []store.Range{{Partition: partition(0), To: int64(n), LeaderEpoch: -1}}}
	records := make([]event.Raw, n)
	for i := range n {
		records[i] = record(0, int64(i), id(i+1), i)
		b.Rejected = append(b.Rejected, event.Rejected{Raw: records[i], Reason: event.TooDeep})
	}
	_, err := s.Append(t.Context(), b)
	require.NoError(t, err)
	rows, err := s.owner.Query(t.Context(), `SELECT id FROM dead_letters ORDER BY id`)
	require.NoError(t, err)
	ids, err := pgx.CollectRows(rows, pgx.RowTo[int64])
	require.NoError(t, err)
	for i, letter := range ids {
		letters = append(letters, relaxed(t, letter, records[i], "ann"))
	}
	return letters
}

func what(outcomes []store.RedriveOutcome) map[string]int {
	n := map[string]int{}
	for _, o := range outcomes {
		n[o.What]++
	}
	return n
}

func (s testStore) reconciled(t testing.TB) {
	t.Helper()
	r, err := audit.Reconcile(t.Context(), s.owner, nil)
	require.NoError(t, err)
	require.Empty(t, r.Discrepancies)
}

func TestRedriveStoresOnceAlsoWhenTwoRedriveAtOnce(t *testing.T) {
	t.Parallel()
	s := newStore(t)
	s.begin(t, 1)
	letters := s.refusedRecords(t, 1000)
	s.reconciled(t)
	var (
		wg  sync.WaitGroup
		mu  sync.Mutex
		all = map[string]int{}
	)
	for _, who := range []string{"ann", "ben"} {
		replayer, request := s.replayer(t), s.asked(t, who, 1)
		mine := slices.Clone(letters)
		if who == "ben" {
			slices.Reverse(mine)
		}
		wg.Go(func() {
			for part := range slices.Chunk(mine, 100) {
				outcomes, err := replayer.Redrive(t.Context(), request, part)
				mu.Lock()
				for name, n := range what(outcomes) {
					all[name] += n
				}
				if err != nil {
					t.Error(err)
				}
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	require.Equal(t, map[string]int{store.RedriveStored: 1000, store.RedriveDecided: 1000}, all)
	require.Equal(t, 1000, s.count(t, `SELECT count(*) FROM events WHERE metadata -> 'audittrail' ? 'redrivenBy' AND kafka_topic = 'orders'`))
	require.Equal(t, 1000, s.count(t, `SELECT count(DISTINCT kafka_offset) FROM events`))
	require.Equal(t, 1000, s.count(t, `SELECT count(*) FROM dead_letter_fates WHERE fate = 'redriven' AND batch IS NOT NULL`))
	require.Equal(t, 1000, s.count(t, `SELECT count(*) FROM dead_letters`), "the letters stay")
	require.Equal(t, 1000, s.count(t, `SELECT sum(count) FROM ledger_batches`))
	s.reconciled(t)

	again, err := s.replayer(t).Redrive(t.Context(), store.RedriveRequest{ID: 1, By: "ann", Reason: "x"}, letters)
	require.NoError(t, err)
	require.Equal(t, 1000, what(again)[store.RedriveStored]+what(again)[store.RedriveDecided], "an earlier try's are found by their fates")
	require.NotZero(t, what(again)[store.RedriveStored])
}

func TestRedriveOfDuplicatesConflictsAndRefusedRows(t *testing.T) {
	t.Parallel()
	s := newStore(t)
	s.begin(t, 1)
	letters := s.refusedRecords(t, 8)
	// 1 and 2 are stored by other records meanwhile: one with the same content, one with another.
	_, err := s.Append(t.Context(), one(t, 8, record(0, 8, id(1), 0), record(0, 9, id(2), 99)))
	require.NoError(t, err)
	// 3 says what 4 says, 5 is refused by PostgreSQL, 6 was dismissed.
	letters[2] = relaxed(t, letters[2].Letter, record(0, 2, id(4), 3), "ann")
	_, err = s.owner.Exec(t.Context(), fmt.Sprintf(`ALTER TABLE events ADD CONSTRAINT no_five CHECK (event_id <> '%s')`, id(5)))
	require.NoError(t, err)
	_, err = s.owner.Exec(t.Context(), `INSERT INTO dead_letter_fates (dead_letter_id, decided_at, decided_by, reason) VALUES ($1, now(), 'ben', 'noise')`, letters[5].Letter)
	require.NoError(t, err)

	outcomes, err := s.replayer(t).Redrive(t.Context(), s.asked(t, "ann", 1), letters)
	require.NoError(t, err)
	slices.SortFunc(outcomes, func(a, b store.RedriveOutcome) int { return int(a.Letter - b.Letter) })
	var got []string
	for _, o := range outcomes {
		got = append(got, fmt.Sprintf("%d %s %s", o.Letter-letters[0].Letter+1, o.What, o.Reason))
	}
	require.Equal(t, []string{"1 duplicate ", "2 failed event_id_conflict", "3 stored ", "4 duplicate ", "5 failed store_rejected", "6 decided ", "7 stored ", "8 stored "}, got)
	require.Equal(t, 2, s.count(t, `SELECT count(*) FROM dead_letters d WHERE NOT EXISTS (SELECT FROM dead_letter_fates WHERE dead_letter_id = d.id)`), "2 and 5 are pending")
	s.reconciled(t)
}

// What was done to fates as only a superuser can is found.
func TestReconcileFindsTamperedFates(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ damage, check string }{
		"a fate is gone":                 {`DELETE FROM dead_letter_fates WHERE dead_letter_id = 1`, "range_events"},
		"a fate is gone, and its tally":  {`DELETE FROM dead_letter_fates WHERE dead_letter_id = 1`, "dead_letter_tally"},
		"a fate of another batch":        {`UPDATE dead_letter_fates SET batch = batch + 1 WHERE dead_letter_id = 1`, "fate_event"},
		"a fate of another event":        {`UPDATE dead_letter_fates SET event_id = gen_random_uuid() WHERE dead_letter_id = 1`, "fate_event"},
		"a fate that was never":          {`INSERT INTO dead_letter_fates (dead_letter_id, batch, request, decided_at, event_id, fate, decided_by, reason) SELECT 3, batch, request, decided_at, event_id, fate, 'me', 'x' FROM dead_letter_fates WHERE dead_letter_id = 1`, "range_events"},
		"a fate of no letter":            {`UPDATE dead_letter_fates SET dead_letter_id = 99 WHERE dead_letter_id = 1`, "fate_dead_letter"},
		"a dismissed one counts nothing": {`UPDATE dead_letter_fates SET fate = 'dismissed', request = NULL, event_id = NULL, batch = NULL WHERE dead_letter_id = 1`, "range_events"},
		"an event moved":                 {`UPDATE events SET kafka_offset = 50 WHERE kafka_offset = 1`, "range_event_offsets"},
		"an event is gone":               {`DELETE FROM events WHERE kafka_offset = 1`, "range_events"},
	} {
		t.Run(name, func(t *testing.T) {
			s := newStore(t)
			s.begin(t, 1)
			_, err := s.replayer(t).Redrive(t.Context(), s.asked(t, "ann", 1), s.refusedRecords(t, 3)[:2])
			require.NoError(t, err)
			tx, err := s.owner.Begin(t.Context())
			require.NoError(t, err)
			defer tx.Rollback(t.Context())
			_, err = tx.Exec(t.Context(), `ALTER TABLE events DISABLE TRIGGER ALL; ALTER TABLE dead_letter_fates DISABLE TRIGGER ALL`)
			require.NoError(t, err)
			tag, err := tx.Exec(t.Context(), c.damage)
			require.NoError(t, err)
			require.EqualValues(t, 1, tag.RowsAffected())
			require.NoError(t, tx.Commit(t.Context()))
			r, err := audit.Reconcile(t.Context(), s.owner, nil)
			require.NoError(t, err)
			var found []string
			for _, d := range r.Discrepancies {
				found = append(found, d.Check)
			}
			require.Contains(t, found, c.check)
		})
	}
}

func TestPendingDeadLettersAreTallied(t *testing.T) {
	t.Parallel()
	s := newStore(t)
	s.begin(t, 1)
	outbox := store.NewOutbox(s.pool)
	pending := func() store.PendingLetters {
		p, err := outbox.Pending(t.Context())
		require.NoError(t, err)
		return p
	}
	require.True(t, pending().Oldest.IsZero())
	letters := s.refusedRecords(t, 4)
	_, err := s.Append(t.Context(), one(t, 4, raw(0, 4, "{")))
	require.NoError(t, err)
	for range 3 {
		require.Equal(t, map[string]int64{"too_deep": 4, "malformed_json": 1}, pending().Reasons)
	}
	require.Equal(t, 2, s.count(t, `SELECT count(*) FROM dead_letter_tally`), "a row for each reason")
	first := pending().Oldest
	require.False(t, first.IsZero())
	_, err = s.replayer(t).Redrive(t.Context(), s.asked(t, "ann", 1), letters)
	require.NoError(t, err)
	p := pending()
	require.Equal(t, map[string]int64{"too_deep": 0, "malformed_json": 1}, p.Reasons)
	require.True(t, p.Oldest.After(first), "the oldest is another one now")
	n, err := store.NewLetters(openPool(t, s.url, "audittrail_api")).Dismiss(t.Context(), []int64{letters[0].Letter, letters[3].Letter + 1}, "ben", "noise", time.Now())
	require.NoError(t, err)
	require.EqualValues(t, 1, n, "the first one is decided")
	for range 3 {
		p = pending()
		require.Equal(t, map[string]int64{"too_deep": 0, "malformed_json": 0}, p.Reasons)
		require.True(t, p.Oldest.IsZero())
	}
	_, err = s.Append(t.Context(), one(t, 5, raw(0, 5, "{")))
	require.NoError(t, err)
	require.False(t, pending().Oldest.IsZero())
	s.reconciled(t)
}
