package replay_test

import (
	"context"
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

// A dead letter whose record is older than the erasure of its subject becomes an event that nobody can open.
func TestARedrivenRecordOfAnErasedSubjectStaysErased(t *testing.T) {
	t.Parallel()
	s := newSystem(t)
	kek := &protecttest.KEK{}
	pool := openPool(t, s.database, "audittrail_replay")
	keys := protect.NewKeyring(store.NewKeys(pool), kek.Open)
	rules, err := protect.NewRules([]protect.RuleOptions{{EventType: "*", Path: "$.payload.secret", Subject: "$.payload.who"}})
	require.NoError(t, err)
	strict := event.DefaultRules()
	strict.MaxDepth = 10
	s.ingested(strict, event.TopicID{}, strings.Replace(deep(1), `"payload":{`, `"payload":{"who":"w-1","secret":"Ermintrude",`, 1))
	hash, err := keys.Hash(t.Context(), "w-1")
	require.NoError(t, err)
	_, _, err = store.NewKeyDestroyer(openPool(t, s.database, "audittrail_maintain")).Destroy(t.Context(), hash, time.Now(), nil)
	require.NoError(t, err)

	r, err := replay.NewRedriver(replay.RedriveDependencies{
		Letters: store.NewLetters(pool), Store: store.NewAppender(store.AppenderOptions{Pool: pool}), Sealer: protect.WithRules(rules, keys),
		Opener: protect.NewOpener(keys), Source: s.source(), Rules: event.DefaultRules(), Log: slog.New(slog.DiscardHandler),
	})
	require.NoError(t, err)
	running, stop := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() { defer close(ended); r.Run(running) }()
	t.Cleanup(func() { stop(); <-ended })
	pending, err := s.reader.SelectDeadLetters(store.WithScope(t.Context(), store.Everything()), store.DeadLetterFilter{}, 10)
	require.NoError(t, err)
	require.Equal(t, map[string]int64{store.RedriveStored: 1}, s.done(s.redrive("ann", nil, pending.IDs...)).Outcomes)
	var thrown, erased int
	require.NoError(t, pool.QueryRow(t.Context(), `SELECT count(*) FROM sealed_refs AS r JOIN subject_keys AS k ON k.id = r.key WHERE k.wrapped IS NULL`).Scan(&thrown))
	require.NoError(t, pool.QueryRow(t.Context(), `SELECT count(*) FROM event_keys WHERE get_byte(digest, 0) = 0`).Scan(&erased))
	require.Equal(t, []int{1, 1}, []int{thrown, erased})
}
