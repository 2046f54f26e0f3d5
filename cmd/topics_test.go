package cmd

import (
	"fmt"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kgo"

	"audittrail/modules/migrate/migratetest"
)

// lostOffsets is a broker whose log of orders/0 is [40, 100), beside an event store where another offset is next.
func lostOffsets(t *testing.T, next int64) *pgx.Conn {
	t.Helper()
	c := broker(t)
	client, err := kgo.NewClient(kgo.SeedBrokers(c.ListenAddrs()...), kgo.RecordPartitioner(kgo.ManualPartitioner()))
	require.NoError(t, err)
	defer client.Close()
	records := make([]*kgo.Record, 100)
	for i := range records {
		records[i] = &kgo.Record{Topic: "orders", Value: []byte("{}")}
	}
	require.NoError(t, client.ProduceSync(t.Context(), records...).FirstErr())
	require.NoError(t, c.DeleteRecords("orders", 0, 40))
	url := migratetest.Database(t)
	t.Setenv("AUDITTRAIL_POSTGRES_URL", url)
	conn, err := pgx.Connect(t.Context(), url)
	require.NoError(t, err)
	t.Cleanup(func() { _ = conn.Close(t.Context()) })
	id := c.TopicInfo("orders").TopicID
	_, err = conn.Exec(t.Context(), `INSERT INTO ingest_topics (topic, topic_id) VALUES ('orders', $1)`, id)
	require.NoError(t, err)
	_, err = conn.Exec(t.Context(), `INSERT INTO ingest_offsets (topic_id, topic, partition, first_offset, next_offset) VALUES ($1, 'orders', 0, $2, $2)`, id, next)
	require.NoError(t, err)
	return conn
}

func TestAdmitAnOffset(t *testing.T) {
	for _, c := range []struct {
		next, from int64
		says       string
	}{
		{10, 40, "goes on at offset 40 within seconds; the 30 offsets from 10 on are accounted for as absent"},
		{10, 100, "the 90 offsets from 10 on are accounted for as absent"},
		{120, 60, "goes on at offset 60 within seconds; it is accounted for anew from there, and what is stored up to 120 stays"},
	} {
		t.Run(fmt.Sprintf("from %d to %d", c.next, c.from), func(t *testing.T) {
			conn := lostOffsets(t, c.next)
			_, err := conn.Exec(t.Context(), `INSERT INTO ingest_offsets (topic_id, topic, partition, first_offset, next_offset)
				SELECT topic_id, topic, 1, 0, 0 FROM ingest_topics`) // the broker's topic has a second partition
			require.NoError(t, err)
			out, errs, status := call(t, "topics", "admit", "orders", "--partition", "0", "--from", fmt.Sprint(c.from), "--reason", "OPS-7")
			require.Equal(t, 0, status, errs)
			require.Contains(t, out, "orders/0 ")
			require.Contains(t, out, c.says)
			var n int
			require.NoError(t, conn.QueryRow(t.Context(), `SELECT count(*) FROM ingest_admissions
				WHERE topic = 'orders' AND partition = 0 AND from_offset = $1 AND to_offset = $2 AND reason = 'OPS-7' AND admitted_by <> ''`, c.next, c.from).Scan(&n))
			require.Equal(t, 1, n)
			out, errs, status = call(t, "topics")
			require.Equal(t, 0, status, errs)
			require.Regexp(t, fmt.Sprintf(`orders +0 +%d +%d .*OPS-7`, c.next, c.from), out)
			out, errs, status = call(t, "reconcile")
			require.Equal(t, 0, status, out+errs)
		})
	}
}

func TestAdmitRefusesWhatCanNotBeMeant(t *testing.T) {
	lostOffsets(t, 50)
	for _, c := range []struct {
		status int
		says   string
		args   []string
	}{
		{1, "offset 39 is not in Kafka's log, which goes from 40 to 100", []string{"--partition", "0", "--from", "39", "--reason", "r"}},
		{1, "offset 101 is not in Kafka's log", []string{"--partition", "0", "--from", "101", "--reason", "r"}},
		{1, "is the next one already", []string{"--partition", "0", "--from", "50", "--reason", "r"}},
		{1, "does not know the partition", []string{"--partition", "1", "--from", "0", "--reason", "r"}},
		{2, "belong together", []string{"--partition", "0", "--from", "60"}},
		{2, "belong together", []string{"--from", "60", "--reason", "r"}},
		{2, "reason not empty", []string{"--partition", "0", "--from", "60", "--reason", " "}},
		{2, "direction of text", []string{"--partition", "0", "--from", "60", "--reason", "a\u202eb"}},
		{2, "must not be negative", []string{"--partition", "0", "--from", "-5", "--reason", "r"}},
	} {
		_, errs, status := call(t, append([]string{"topics", "admit", "orders"}, c.args...)...)
		require.Equal(t, c.status, status, errs)
		require.Contains(t, errs, c.says)
	}
}

// The key that went with all topics and all times is gone, and does not go unnoticed.
func TestAcceptDataLossIsGone(t *testing.T) {
	t.Setenv("AUDITTRAIL_INGEST_ACCEPT_DATA_LOSS", "true")
	_, errs, status := call(t, "config", "check")
	require.Equal(t, 2, status)
	require.Contains(t, errs, "AUDITTRAIL_INGEST_ACCEPT_DATA_LOSS is not known")
}

// A store that was filled before admissions were known migrates, reconciles, and takes an admission.
func TestAStoreFilledBeforeAdmissionsMigrates(t *testing.T) {
	url := migratetest.Database(t)
	conn, err := pgx.Connect(t.Context(), url)
	require.NoError(t, err)
	defer conn.Close(t.Context()) //nolint:errcheck // the test is over
	exists := func() (yes bool) {
		require.NoError(t, conn.QueryRow(t.Context(), `SELECT to_regclass('public.ingest_admissions') IS NOT NULL`).Scan(&yes))
		return yes
	}
	for exists() {
		status, _, errs := migrateCommand(t, url, "down", "1")
		require.Equal(t, 0, status, errs)
	}
	_, err = conn.Exec(t.Context(), offsetsAndRange+rangeOfTheRest)
	require.NoError(t, err)
	status, _, errs := migrateCommand(t, url, "up")
	require.Equal(t, 0, status, errs)
	out, errs, status := call(t, "reconcile", "--postgres.url", url)
	require.Equal(t, 0, status, out+errs)
	var ids int
	require.NoError(t, conn.QueryRow(t.Context(), `SELECT count(id) FROM installation`).Scan(&ids))
	require.Equal(t, 1, ids)
}
