package cmd

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"

	"audittrail/modules/migrate/migratetest"
	"audittrail/platform/kafka"
	"audittrail/platform/kafkatest"
)

// logs are a topic of two partitions, of 10 records each, and an event store that has read some of them.
type logs struct {
	brokers string
	client  *kgo.Client
	admin   *kadm.Client
	topic   string
	url     string
	conn    *pgx.Conn
}

// bothKafkas runs a test on an embedded broker and on a real one.
func bothKafkas(t *testing.T, test func(t *testing.T, l *logs)) {
	t.Run("fake", func(t *testing.T) {
		c, err := kfake.NewCluster(kfake.NumBrokers(1))
		require.NoError(t, err)
		t.Cleanup(c.Close)
		test(t, newLogs(t, c.ListenAddrs()))
	})
	t.Run("real", func(t *testing.T) { test(t, newLogs(t, kafkatest.Shared(t).Brokers)) })
}

func newLogs(t *testing.T, brokers []string) *logs {
	t.Helper()
	client, err := kgo.NewClient(kgo.SeedBrokers(brokers...), kgo.MetadataMinAge(50*time.Millisecond), kgo.RecordPartitioner(kgo.ManualPartitioner()),
		kgo.UnknownTopicRetries(-1))
	require.NoError(t, err)
	t.Cleanup(client.Close)
	l := &logs{brokers: strings.Join(brokers, ","), client: client, admin: kadm.NewClient(client), topic: "orders-" + strings.ToLower(rand.Text()[:8]), url: migratetest.Database(t)}
	l.conn, err = pgx.Connect(t.Context(), l.url)
	require.NoError(t, err)
	t.Cleanup(func() { _ = l.conn.Close(context.Background()) })
	l.make(t)
	_, err = l.conn.Exec(t.Context(), `INSERT INTO ingest_topics (topic, topic_id) VALUES ($1, $2)`, l.topic, l.id(t))
	require.NoError(t, err)
	return l
}

func (l *logs) make(t *testing.T) {
	t.Helper()
	_, err := l.admin.CreateTopic(t.Context(), 2, 1, nil, l.topic)
	require.NoError(t, err)
	for p := range int32(2) {
		for range 10 {
			require.NoError(t, l.client.ProduceSync(t.Context(), &kgo.Record{Topic: l.topic, Partition: p, Value: []byte("x")}).FirstErr())
		}
	}
}

func (l *logs) id(t *testing.T) [16]byte {
	t.Helper()
	topics, err := kafka.Topics(t.Context(), l.client, []string{l.topic})
	require.NoError(t, err)
	return topics[l.topic].ID
}

// read puts the accounting of a partition there, as one range of absent offsets.
func (l *logs) read(t *testing.T, partition int32, first, next int64) {
	t.Helper()
	id := l.id(t)
	_, err := l.conn.Exec(t.Context(), `INSERT INTO ingest_offsets (topic_id, topic, partition, first_offset, next_offset) VALUES ($1, $2, $3, $4, $5)`,
		id, l.topic, partition, first, next)
	require.NoError(t, err)
	_, err = l.conn.Exec(t.Context(), `INSERT INTO ingest_ranges (topic_id, partition, stored, from_offset, to_offset, duplicates, dead_lettered, absent, recorded_at)
		VALUES ($1, $2, 0, $3::bigint, $4::bigint, 0, 0, $4::bigint - $3::bigint, now())`, id, partition, first, next)
	require.NoError(t, err)
}

// reconciled is what --output json answers.
type reconciled struct {
	Balanced   bool
	ToRead     int64
	Partitions []struct {
		Partition                    int32
		KafkaFirst, KafkaEnd, ToRead *int64
	}
	Discrepancies []struct {
		Check     string
		Topic     string
		Partition *int32
		From, To  *int64
	}
	Kafka struct {
		Checked bool
		Reason  string
		Gone    []string
		Missing []string
	}
}

func (l *logs) reconcile(t *testing.T, more ...string) (r reconciled, text string, status int) {
	t.Helper()
	args := append([]string{"reconcile", "--postgres.url", l.url, "--kafka.brokers", l.brokers}, more...)
	text, errs, status := call(t, args...)
	out, _, again := call(t, append(args, "--output", "json")...)
	require.Equal(t, status, again)
	require.NoError(t, json.Unmarshal([]byte(out), &r), "%s%s", out, errs)
	return r, text + errs, status
}

func TestReconcileShowsWhatIsStillToBeRead(t *testing.T) {
	bothKafkas(t, func(t *testing.T, l *logs) {
		l.read(t, 0, 0, 10)
		l.read(t, 1, 2, 4)
		r, text, status := l.reconcile(t)
		require.Equal(t, 0, status, text)
		require.True(t, r.Balanced)
		require.True(t, r.Kafka.Checked)
		require.EqualValues(t, 6, r.ToRead)
		require.Equal(t, []int64{0, 10, 6}, []int64{*r.Partitions[1].KafkaFirst, *r.Partitions[1].KafkaEnd, *r.Partitions[1].ToRead})
		require.Regexp(t, l.topic+`\s+1\s+2\s+4\s+0\s+10\s+6\s+2\s`, text)
		require.Contains(t, text, "Kafka has 6 offsets that are still to be read.")
	})
}

func TestReconcileComparesWithKafka(t *testing.T) {
	for name, c := range map[string]struct {
		happen func(t *testing.T, l *logs)
		check  string
		where  string // of the discrepancy, behind the topic's name
	}{
		"deleted unread": {func(t *testing.T, l *logs) {
			l.read(t, 0, 0, 2)
			l.read(t, 1, 0, 7)
			offsets := kadm.Offsets{}
			offsets.AddOffset(l.topic, 0, 7, -1)
			offsets.AddOffset(l.topic, 1, 7, -1)
			_, err := l.admin.DeleteRecords(t.Context(), offsets)
			require.NoError(t, err)
		}, "kafka_first", "/0 [2, 7)"},
		"an end before the next offset": {func(t *testing.T, l *logs) {
			l.read(t, 0, 0, 10)
			l.read(t, 1, 0, 15)
		}, "kafka_end", "/1 [10, 15)"},
		"made again": {func(t *testing.T, l *logs) {
			l.read(t, 0, 0, 2)
			l.read(t, 1, 0, 2)
			before := l.id(t)
			_, err := l.admin.DeleteTopic(t.Context(), l.topic)
			require.NoError(t, err)
			require.Eventually(t, func() bool {
				_, err := l.admin.CreateTopic(t.Context(), 2, 1, nil, l.topic)
				return err == nil
			}, 20*time.Second, 50*time.Millisecond)
			require.Eventually(t, func() bool { // its leaders serve a moment later
				ends, err := l.admin.ListEndOffsets(t.Context(), l.topic)
				return err == nil && ends.Error() == nil && len(ends[l.topic]) == 2
			}, 20*time.Second, 50*time.Millisecond)
			require.NotEqual(t, before, l.id(t))
		}, "kafka_topic_id", ""},
		"read by others": {func(t *testing.T, l *logs) { l.read(t, 1, 0, 2) }, "kafka_unknown_partition", "/0 [0, 10)"},
	} {
		t.Run(name, func(t *testing.T) {
			bothKafkas(t, func(t *testing.T, l *logs) {
				c.happen(t, l)
				r, text, status := l.reconcile(t)
				require.Equal(t, 1, status, text)
				require.False(t, r.Balanced)
				require.True(t, r.Kafka.Checked, r.Kafka.Reason)
				require.Len(t, r.Discrepancies, 1, text)
				require.Equal(t, c.check, r.Discrepancies[0].Check)
				require.Regexp(t, c.check+`\s+`+strings.NewReplacer("[", `\[`, ")", `\)`).Replace(l.topic+c.where)+`\s`, text)
			})
		})
	}
}

func TestReconcileLooksAtTopicsThatAreConfigured(t *testing.T) {
	bothKafkas(t, func(t *testing.T, l *logs) {
		l.read(t, 0, 0, 10)
		l.read(t, 1, 0, 10)
		other := "other-" + l.topic
		_, err := l.admin.CreateTopics(t.Context(), 1, 1, nil, other, other+".dlq")
		require.NoError(t, err)
		for _, topics := range []string{other, "^other-" + l.topic} {
			var r reconciled
			require.Eventually(t, func() bool { // a topic's leader serves a moment later
				r, _, _ = l.reconcile(t, "--kafka.topics", topics)
				return r.Kafka.Checked
			}, 20*time.Second, 50*time.Millisecond)
			require.Len(t, r.Discrepancies, 1, topics)
			require.Equal(t, "kafka_unknown_partition", r.Discrepancies[0].Check)
			require.Equal(t, other, r.Discrepancies[0].Topic)
		}
		r, _, status := l.reconcile(t, "--kafka.topics", "none-"+l.topic)
		require.Equal(t, 0, status, "what was never read and is not there lacks nothing")
		require.Equal(t, []string{"none-" + l.topic}, r.Kafka.Missing, "but its name may be wrong")
	})
}

func TestReconcileOfATopicThatIsGone(t *testing.T) {
	bothKafkas(t, func(t *testing.T, l *logs) {
		l.read(t, 0, 0, 10)
		l.read(t, 1, 0, 10)
		_, err := l.admin.DeleteTopic(t.Context(), l.topic)
		require.NoError(t, err)
		var r reconciled
		var status int
		require.Eventually(t, func() bool { r, _, status = l.reconcile(t); return len(r.Kafka.Gone) == 1 }, time.Minute, 50*time.Millisecond)
		require.Equal(t, 0, status, "nobody wants it any more")
		require.Equal(t, []string{l.topic}, r.Kafka.Gone)
		r, text, status := l.reconcile(t, "--kafka.topics", l.topic)
		require.Equal(t, 1, status)
		require.Equal(t, "kafka_topic_id", r.Discrepancies[0].Check, text)
	})
}

// Without a broker the status tells whether somebody meant one.
func TestReconcileWithoutABroker(t *testing.T) {
	url := ranges(t, offsetsAndRange+rangeOfTheRest)
	given := []string{"reconcile", "--postgres.url", url, "--kafka.brokers", "127.0.0.1:1"}
	out, errs, status := call(t, given...)
	require.Equal(t, 1, status)
	require.Contains(t, out, "Every offset is accounted for")
	require.Contains(t, out, "Kafka was not checked")
	require.Contains(t, errs, "what Kafka holds was not checked")
	out, _, status = call(t, append(given, "--output", "json")...)
	require.Equal(t, 1, status)
	var r reconciled
	require.NoError(t, json.Unmarshal([]byte(out), &r))
	require.True(t, r.Balanced)
	require.False(t, r.Kafka.Checked)
	require.NotEmpty(t, r.Kafka.Reason)
	require.Nil(t, r.Partitions[0].KafkaEnd)

	t.Setenv("AUDITTRAIL_KAFKA_BROKERS", "127.0.0.1:1")
	_, _, status = call(t, given[:3]...)
	require.Equal(t, 1, status, "the environment counts too")
}

// A balanced accounting is balanced where nobody says which Kafka is meant and none is there.
func TestReconcileThatNobodyToldOfKafka(t *testing.T) {
	if conn, err := kgo.NewClient(kgo.SeedBrokers("127.0.0.1:9092"), kgo.RequestRetries(0)); err == nil {
		defer conn.Close()
		if conn.Ping(t.Context()) == nil {
			t.Skip("a Kafka listens at the default address")
		}
	}
	url := ranges(t, offsetsAndRange+rangeOfTheRest)
	out, errs, status := call(t, "reconcile", "--postgres.url", url)
	require.Equal(t, 0, status, errs)
	require.Contains(t, out, fmt.Sprintln("\nEvery offset is accounted for, and all tables agree.")+"Kafka was not checked")
}
