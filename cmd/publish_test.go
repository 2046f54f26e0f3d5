package cmd

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"

	"audittrail/modules/sample"
)

// broker is an embedded broker whose topic "small" takes records of 2,000 bytes at most.
func broker(t *testing.T) *kfake.Cluster {
	t.Helper()
	c, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.SeedTopics(2, "orders"))
	require.NoError(t, err)
	t.Cleanup(c.Close)
	t.Setenv("AUDITTRAIL_KAFKA_BROKERS", strings.Join(c.ListenAddrs(), ","))
	client, err := kgo.NewClient(kgo.SeedBrokers(c.ListenAddrs()...))
	require.NoError(t, err)
	defer client.Close()
	limit := "2000"
	_, err = kadm.NewClient(client).CreateTopic(t.Context(), 1, 1, map[string]*string{"max.message.bytes": &limit}, "small")
	require.NoError(t, err)
	return c
}

// count is how many records a topic holds, by partition.
func count(t *testing.T, c *kfake.Cluster, topic string) map[int32]int64 {
	t.Helper()
	client, err := kgo.NewClient(kgo.SeedBrokers(c.ListenAddrs()...))
	require.NoError(t, err)
	defer client.Close()
	ends, err := kadm.NewClient(client).ListEndOffsets(t.Context(), topic)
	require.NoError(t, err)
	require.NoError(t, ends.Error())
	counts := map[int32]int64{}
	ends.Each(func(o kadm.ListedOffset) { counts[o.Partition] = o.Offset })
	return counts
}

// orderFile is a gzip of n sample events, one bad line and a blank one.
func orderFile(t *testing.T, n int) string {
	t.Helper()
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	g := sample.New(sample.Options{Seed: 4})
	for range n {
		_, err := fmt.Fprintf(w, "%s\n", g.Next().Value)
		require.NoError(t, err)
	}
	_, err := fmt.Fprint(w, "{\"aggregateId\":\n\n")
	require.NoError(t, err)
	require.NoError(t, w.Close())
	path := filepath.Join(t.TempDir(), "orders")
	require.NoError(t, os.WriteFile(path, b.Bytes(), 0o600))
	return path
}

func TestPublishMakesTheTopicAndSaysWhatItDid(t *testing.T) {
	c := broker(t)
	out, errs, status := call(t, "publish", orderFile(t, 3000), "--topic", "new", "--create", "5", "--output", "json")
	require.Equal(t, 0, status, errs)
	var summary struct {
		Topic                                      string
		Lines, Blank, Events, Others, Acknowledged int
		Complete                                   bool
	}
	require.NoError(t, json.Unmarshal([]byte(out), &summary))
	require.Equal(t, "new", summary.Topic)
	require.True(t, summary.Complete)
	require.Equal(t, []int{3002, 1, 3000, 1, 3001}, []int{summary.Lines, summary.Blank, summary.Events, summary.Others, summary.Acknowledged})
	counts, total := count(t, c, "new"), int64(0)
	for _, n := range counts {
		require.NotZero(t, n, "keys spread over all partitions")
		total += n
	}
	require.Len(t, counts, 5)
	require.EqualValues(t, 3001, total)

	out, errs, status = call(t, "publish", orderFile(t, 10), "--topic", "new", "--create", "5")
	require.Equal(t, 0, status, errs)
	require.Contains(t, out, "11 records are in topic new")
	require.Contains(t, out, "; 1 line was no event and was sent without a key; 1 blank line was skipped")

	one := filepath.Join(t.TempDir(), "one")
	require.NoError(t, os.WriteFile(one, []byte("{}\n"), 0o600))
	out, errs, status = call(t, "publish", one, "--topic", "new")
	require.Equal(t, 0, status, errs)
	require.Contains(t, out, "1 record is in topic new")
}

func TestPublishNamesWhatIsWrong(t *testing.T) {
	c := broker(t)
	long := filepath.Join(t.TempDir(), "long")
	require.NoError(t, os.WriteFile(long, []byte("{}\n"+strings.Repeat("x", 3000)+"\n{}\n"), 0o600))
	file := orderFile(t, 1)
	for name, test := range map[string]struct {
		args   []string
		status int
	}{
		"--topic is missing":                   {[]string{file}, 2},
		"--create must be":                     {[]string{file, "--topic", "t", "--create", "0"}, 2},
		"from 1 to 10000":                      {[]string{file, "--topic", "t", "--create", "99999999"}, 2},
		"accepts 1 arg":                        {[]string{"--topic", "orders"}, 2},
		"no such file":                         {[]string{"nowhere.json", "--topic", "orders"}, 1},
		"is a folder":                          {[]string{t.TempDir(), "--topic", "orders"}, 1},
		"topic nowhere does not exist":         {[]string{file, "--topic", "nowhere"}, 1},
		"with 2 partitions instead of 7":       {[]string{file, "--topic", "orders", "--create", "7"}, 1},
		"line 2 is longer than the 1488 bytes": {[]string{long, "--topic", "small"}, 1},
	} {
		t.Run(name, func(t *testing.T) {
			_, errs, status := call(t, append([]string{"publish"}, test.args...)...)
			require.Equal(t, test.status, status, errs)
			require.Contains(t, errs, name)
		})
	}
	require.Equal(t, map[int32]int64{0: 1}, count(t, c, "small"), "the line before the long one has arrived")
}

func TestPublishSaysThatNoBrokerIsThere(t *testing.T) {
	_, errs, status := call(t, "publish", orderFile(t, 1), "--topic", "orders", "--kafka.brokers", "127.0.0.1:1")
	require.Equal(t, 1, status)
	require.Contains(t, errs, "kafka.brokers [127.0.0.1:1]")
}

func TestPublishChecksAFileAndSendsNothing(t *testing.T) {
	t.Setenv("AUDITTRAIL_KAFKA_BROKERS", "127.0.0.1:1")
	out, errs, status := call(t, "publish", orderFile(t, 3), "--check")
	require.Equal(t, 1, status)
	require.Equal(t, "line 4: at byte 15: a value is expected (malformed_json)\n3 lines are good, 1 not; 1 blank line was skipped\n", out)
	require.Contains(t, errs, "1 line is no event of ")

	file := filepath.Join(t.TempDir(), "events")
	event, deep := sample.New(sample.Options{Seed: 4}).Next().Value, `{"eventId":7,"a":{"b":{}}}`
	require.NoError(t, os.WriteFile(file, []byte(string(event)+"\n"+deep+"\n"), 0o600))
	out, _, status = call(t, "publish", file, "--check", "--topic", "orders", "--output", "json")
	require.Equal(t, 1, status)
	require.JSONEq(t, `[{"line":2,"reason":"invalid_field","field":"eventId","detail":"must be a string"},{"lines":2,"blank":0,"good":1,"bad":1}]`,
		"["+strings.Replace(out, "}\n{", "},{", 1)+"]")
	out, _, status = call(t, "publish", file, "--check", "--ingest.max_depth", "2")
	require.Equal(t, 1, status)
	require.Contains(t, out, "line 2: a.b is nested deeper than the 2 levels that are allowed (too_deep)")

	require.NoError(t, os.WriteFile(file, event, 0o600))
	out, errs, status = call(t, "publish", file, "--check")
	require.Equal(t, 0, status, errs)
	require.Equal(t, "1 line is good, 0 not\n", out)
	_, errs, status = call(t, "publish", "nowhere", "--check")
	require.Equal(t, 1, status)
	require.Contains(t, errs, "no such file")
}
