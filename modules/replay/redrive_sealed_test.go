package replay_test

import (
	"context"
	"encoding/hex"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"audittrail/modules/event"
	"audittrail/modules/protect"
	"audittrail/modules/protect/protecttest"
	"audittrail/modules/replay"
	"audittrail/modules/store"
)

// Where fields are sealed, a dead letter's value is sealed whole, and so is one that is given in its place. What
// becomes of them has its fields sealed: no table holds them in plain text at any time.
func TestSealedDeadLettersComeBackSealed(t *testing.T) {
	t.Parallel()
	const mark = "Ermintrude"
	s := newSystem(t)
	kek := &protecttest.KEK{}
	keys := protect.NewKeyring(store.NewKeys(openPool(t, s.database, "audittrail_replay")), kek.Open)
	rules, err := protect.NewRules([]protect.RuleOptions{{EventType: "*", Path: "$.payload.secret"}})
	require.NoError(t, err)
	s.store = store.NewAppender(store.AppenderOptions{Pool: openPool(t, s.database, "audittrail_ingest"), Letters: protect.NewLetters(keys)})
	secret := func(n int) string {
		return strings.Replace(deep(n), `"payload":{`, `"payload":{"secret":"`+mark+`",`, 1)
	}
	strict := event.DefaultRules()
	strict.MaxDepth = 10
	s.ingested(strict, event.TopicID{}, secret(1), secret(2))

	ctx := store.WithScope(t.Context(), store.Everything())
	pending, err := s.reader.SelectDeadLetters(ctx, store.DeadLetterFilter{}, 10)
	require.NoError(t, err)
	require.Len(t, pending.IDs, 2)
	letters, err := s.reader.PendingDeadLetters(ctx, pending.IDs[1:])
	require.NoError(t, err)
	apiPool := openPool(t, s.database, "audittrail_api")
	opening := store.NewReader(store.ReaderOptions{Pool: apiPool, Scoped: true, Opener: protect.NewOpener(protect.NewKeyring(store.NewKeys(apiPool), kek.Open))})
	for kind, visible := range map[string]int{"Order*": 2, "Payment*": 0} { // by what the record says, sealed or not
		scoped := store.WithScope(t.Context(), store.Only(store.ScopePart{EventTypes: []string{kind}}))
		chosen, err := opening.SelectDeadLetters(scoped, store.DeadLetterFilter{}, 10)
		require.NoError(t, err)
		require.Len(t, chosen.IDs, visible)
		_, err = opening.PendingDeadLetters(scoped, pending.IDs)
		require.Equal(t, visible > 0, err == nil, "%v", err)
	}
	key, err := protect.NewLetters(keys).Key(t.Context(), time.Now())
	require.NoError(t, err)
	one := s.redrive("ann", nil, pending.IDs[0])
	two, err := store.NewLetters(openPool(t, s.database, "audittrail_api")).RequestRedrive(t.Context(), store.RedriveRequest{
		CreatedAt: time.Now(), By: "ann", Reason: "corrected", Edited: true, SealedBy: &key.ID,
		Value: key.Seal(&event.Raw{Coordinates: letters[0].Raw.Coordinates, Value: []byte(secret(3))}),
	}, pending.IDs[1:])
	require.NoError(t, err)
	s.without(mark)

	pool := openPool(t, s.database, "audittrail_replay")
	r, err := replay.NewRedriver(replay.RedriveDependencies{
		Letters: store.NewLetters(pool), Store: store.NewAppender(store.AppenderOptions{Pool: pool}),
		Sealer: protect.WithRules(rules, keys), Opener: protect.NewOpener(keys),
		Source: s.source(), Rules: event.DefaultRules(), Log: slog.New(slog.DiscardHandler),
	})
	require.NoError(t, err)
	running, stop := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() { defer close(ended); r.Run(running) }()
	t.Cleanup(func() { stop(); <-ended })
	for _, id := range []int64{one, two} {
		require.Equal(t, map[string]int64{store.RedriveStored: 1}, s.done(id).Outcomes)
	}
	s.without(mark)
	var sealed int
	require.NoError(t, pool.QueryRow(t.Context(), `SELECT count(*) FROM events WHERE sealed IS NOT NULL`).Scan(&sealed))
	require.Equal(t, 2, sealed)
	s.proven()
}

// without checks that no table that is written meanwhile holds a text.
func (s *system) without(mark string) {
	s.t.Helper()
	pool := openPool(s.t, s.database, "audittrail_replay")
	for _, table := range []string{"events", "dead_letters", "redrive_requests", "redrive_items", "dead_letter_fates"} {
		var rows string
		require.NoError(s.t, pool.QueryRow(s.t.Context(), `SELECT coalesce(string_agg(t::text, ' '), '') FROM `+table+` AS t`).Scan(&rows))
		require.NotContains(s.t, rows, mark, table)
		require.NotContains(s.t, rows, hex.EncodeToString([]byte(mark)), table)
	}
}
