package replay_test

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"audittrail/modules/event"
	"audittrail/modules/protect"
	"audittrail/modules/protect/protecttest"
	"audittrail/modules/replay"
	"audittrail/modules/store"
	"audittrail/modules/store/audit"
	"audittrail/platform/kafka"
)

// ingested stores records as ingest does by some rules; with a topicID they are of the topic copy, which is in Kafka.
func (s *system) ingested(rules event.Rules, topicID event.TopicID, values ...string) {
	s.t.Helper()
	p := partition
	if topicID != (event.TopicID{}) {
		p.TopicID, p.Topic = topicID, "copy"
		_, err := s.store.EnsureOffsets(s.t.Context(), []store.PartitionStart{{Partition: p}})
		require.NoError(s.t, err)
	}
	b := store.Batch{Ranges: []store.Range{{Partition: p, From: s.offset, To: s.offset + int64(len(values)), LeaderEpoch: -1}}}
	for i, value := range values {
		raw := event.Raw{Coordinates: event.Coordinates{TopicID: p.TopicID, Topic: p.Topic, Offset: s.offset + int64(i)}, Key: []byte("k"), Value: []byte(value)}
		decoded, rejected := event.Decode(raw)
		if rejected == nil {
			var valid event.Valid
			if valid, rejected = decoded.Validate(rules, time.Now()); rejected == nil {
				b.Events = append(b.Events, protecttest.Seal(valid))
				continue
			}
		}
		b.Rejected = append(b.Rejected, *rejected)
	}
	_, err := s.store.Append(s.t.Context(), b)
	require.NoError(s.t, err)
	s.offset += int64(len(values))
}

// redriver runs a redriver until stop is called or the test is over.
func (s *system) redriver(rules event.Rules) (stop func()) {
	s.t.Helper()
	pool := openPool(s.t, s.database, "audittrail_replay")
	log := slog.New(slog.DiscardHandler)
	r, err := replay.NewRedriver(replay.RedriveDependencies{
		Letters: store.NewLetters(pool), Store: store.NewAppender(store.AppenderOptions{Pool: pool}), Sealer: protect.NewProtector(),
		Source: s.source(), Rules: rules, Log: log,
	})
	require.NoError(s.t, err)
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() { defer close(ended); r.Run(ctx) }()
	stop = func() { cancel(); <-ended }
	s.t.Cleanup(stop)
	return stop
}

func (s *system) source() *replay.Source {
	source := replay.NewSource(kafka.Options{Brokers: s.brokers, MetadataMaxAge: time.Second}, slog.New(slog.DiscardHandler))
	s.t.Cleanup(source.Close)
	return source
}

// redrive asks for a redrive of these letters, or of all that are pending.
func (s *system) redrive(by string, value []byte, ids ...int64) int64 {
	s.t.Helper()
	ctx := store.WithScope(s.t.Context(), store.Everything())
	if len(ids) == 0 {
		selected, err := s.reader.SelectDeadLetters(ctx, store.DeadLetterFilter{}, 10_000)
		require.NoError(s.t, err)
		ids = selected.IDs
	}
	id, err := store.NewLetters(openPool(s.t, s.database, "audittrail_api")).RequestRedrive(s.t.Context(),
		store.RedriveRequest{CreatedAt: time.Now(), By: by, Reason: "the rule was relaxed", Edited: value != nil, Value: value}, ids)
	require.NoError(s.t, err)
	return id
}

func (s *system) done(id int64) (state store.RedriveState) {
	s.t.Helper()
	letters := store.NewLetters(openPool(s.t, s.database, "audittrail_api"))
	require.Eventually(s.t, func() bool {
		var err error
		state, _, err = letters.Redrive(s.t.Context(), id)
		return err == nil && state.FinishedAt != nil
	}, patience, 20*time.Millisecond)
	return state
}

// proven checks the accounting, and that each event's leaf is the one in the ledger.
func (s *system) proven() {
	s.t.Helper()
	pool := openPool(s.t, s.database, "audittrail_maintain")
	r, err := audit.Reconcile(s.t.Context(), pool, nil)
	require.NoError(s.t, err)
	require.Empty(s.t, r.Discrepancies)
}

func deep(n int) string {
	return strings.Replace(order(n), `"payload":{`, fmt.Sprintf(`"payload":{"deep":%s1%s,`, strings.Repeat("[", 20), strings.Repeat("]", 20)), 1)
}

// 1,000 dead letters are redriven after a rule was relaxed, by two people at once: all are stored, accounted and
// proven, and none is twice.
func TestAThousandDeadLettersComeBack(t *testing.T) {
	t.Parallel()
	s := newSystem(t)
	strict := event.DefaultRules()
	strict.MaxDepth = 10
	var values []string
	for n := range 1000 {
		values = append(values, deep(n))
	}
	s.ingested(strict, event.TopicID{}, values...)
	first := s.redrive("ann", nil)
	second := s.redrive("ben", nil)
	stopOne := s.redriver(event.DefaultRules())
	s.redriver(event.DefaultRules())
	require.Eventually(t, func() bool { // one is on its way when its process ends
		state, _, err := store.NewLetters(openPool(t, s.database, "audittrail_api")).Redrive(t.Context(), first)
		return err == nil && state.Outcomes[store.RedriveStored] > 0
	}, patience, 20*time.Millisecond)
	stopOne()
	one, two := s.done(first), s.done(second)
	require.EqualValues(t, 1000, one.Outcomes[store.RedriveStored])
	require.EqualValues(t, 1000, two.Outcomes[store.RedriveDecided])
	s.proven()

	ctx := store.WithScope(t.Context(), store.Everything())
	seen := map[int64]bool{}
	for after := int64(-1); ; {
		page, err := s.reader.Feed(ctx, store.Filter{}, after, 500)
		require.NoError(t, err)
		for _, e := range page.Items {
			require.False(t, seen[e.Kafka.Offset], "none is twice")
			seen[e.Kafka.Offset] = true
			var metadata struct {
				Audittrail struct {
					DeadLetter int64
					RedrivenBy string
				}
			}
			require.NoError(t, json.Unmarshal(e.Metadata, &metadata))
			require.Equal(t, "ann", metadata.Audittrail.RedrivenBy)
			require.NotZero(t, metadata.Audittrail.DeadLetter)
			after = e.Position
		}
		if len(page.Items) == 0 {
			break
		}
	}
	require.Len(t, seen, 1000)
}

func TestARedriveThatFailsAgainSaysSo(t *testing.T) {
	t.Parallel()
	s := newSystem(t)
	s.ingested(event.DefaultRules(), event.TopicID{}, `{"eventId":5}`, order(1), "no")
	s.redriver(event.DefaultRules())
	state := s.done(s.redrive("ann", nil))
	require.Equal(t, map[string]int64{"invalid_field": 1, "malformed_json": 1}, state.Failures)
	letter, err := s.reader.DeadLetter(store.WithScope(t.Context(), store.Everything()), 1)
	require.NoError(t, err)
	require.Nil(t, letter.Fate)
	require.Equal(t, event.InvalidField, letter.Retry.Reason)
	require.Equal(t, "eventId", letter.Retry.Field)

	edited := s.done(s.redrive("eve", []byte(order(7)), 1))
	require.EqualValues(t, 1, edited.Outcomes[store.RedriveStored])
	letter, err = s.reader.DeadLetter(store.WithScope(t.Context(), store.Everything()), 1)
	require.NoError(t, err)
	require.True(t, letter.Fate.Edited)
	require.Equal(t, "eve", letter.Fate.By)
	stored, err := s.reader.Event(store.WithScope(t.Context(), store.Everything()), letter.Fate.EventID)
	require.NoError(t, err)
	require.Contains(t, string(stored.Metadata), `"audittrail":{"deadLetter":1,"edited":true,"reason":"the rule was relaxed","redrivenBy":"eve"}`)
	require.EqualValues(t, 0, stored.Kafka.Offset, "it keeps the record's coordinates")
	s.proven()
}

// A value that was too large to be kept is read again from Kafka.
func TestAValueThatIsTooLargeIsReadAgain(t *testing.T) {
	t.Parallel()
	s := newSystem(t)
	client, err := kgo.NewClient(kgo.SeedBrokers(s.brokers...), kgo.RecordPartitioner(kgo.ManualPartitioner()))
	require.NoError(t, err)
	defer client.Close()
	topics, err := kafka.Topics(t.Context(), client, []string{"copy"})
	require.NoError(t, err)
	small := event.DefaultRules()
	small.MaxRecordBytes = 2000
	var values []string
	for n := range 3 {
		values = append(values, order(n)+strings.Repeat(" ", 6000))
		require.NoError(t, client.ProduceSync(t.Context(), &kgo.Record{Topic: "copy", Key: []byte("k"), Value: []byte(values[n])}).FirstErr())
	}
	s.ingested(small, topics["copy"].ID, values...)

	stop := s.redriver(small)
	require.Equal(t, map[string]int64{"too_large": 1}, s.done(s.redrive("ann", nil, 1)).Failures, "the rule holds still")
	stop()
	s.redriver(event.DefaultRules())
	require.EqualValues(t, 1, s.done(s.redrive("ann", nil, 1)).Outcomes[store.RedriveStored])

	admin := kadm.NewClient(client)
	offsets := kadm.Offsets{}
	offsets.AddOffset("copy", 0, 3, -1)
	_, err = admin.DeleteRecords(t.Context(), offsets)
	require.NoError(t, err)
	require.Equal(t, map[string]int64{"value_not_kept": 2}, s.done(s.redrive("ann", nil)).Failures)
	letters, err := s.reader.PendingDeadLetters(store.WithScope(t.Context(), store.Everything()), []int64{2})
	require.NoError(t, err)
	require.ErrorContains(t, s.source().Kept(t.Context(), letters), "dead letter 2")
	away := replay.NewSource(kafka.Options{Brokers: []string{"127.0.0.1:1"}}, slog.New(slog.DiscardHandler))
	defer away.Close()
	require.NoError(t, away.Kept(t.Context(), letters), "nobody can say")
	s.proven()
}
