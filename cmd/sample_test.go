package cmd

import (
	"encoding/json"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"

	"audittrail/modules/sample"
)

// The records are there, in the topics that were made.
func TestSamplePublishesAndEnds(t *testing.T) {
	c := broker(t)
	out, errs, status := call(t, "sample", "--interval", "1ms", "--records", "200", "--partitions", "2", "--output", "json")
	require.Equal(t, 0, status, errs)
	var summary struct {
		Published, Failed int64
		Topics            []string
	}
	require.NoError(t, json.Unmarshal([]byte(out), &summary))
	require.Equal(t, int64(200), summary.Published)
	require.Zero(t, summary.Failed)
	require.Equal(t, sample.Topics(), summary.Topics)
	total := int64(0)
	for _, topic := range sample.Topics() {
		ends := count(t, c, topic)
		require.Len(t, ends, 2, topic)
		total += ends[0] + ends[1]
	}
	require.Equal(t, int64(200), total)
}

func TestSampleRunsUntilItIsStopped(t *testing.T) {
	c := broker(t)
	p := start(t, "sample", "--interval", "1ms")
	require.Eventually(t, func() bool {
		return held(t, c, sample.TopicOrders) > 0
	}, time.Minute, 50*time.Millisecond)
	require.NoError(t, p.Process.Signal(syscall.SIGTERM))
	p.until(t, `^[0-9,]+ records were published$`)
	require.NoError(t, p.Wait(), p.stderr.String())
}

// held is how many records a topic holds; 0 before it exists.
func held(t *testing.T, c *kfake.Cluster, topic string) (n int64) {
	t.Helper()
	client, err := kgo.NewClient(kgo.SeedBrokers(c.ListenAddrs()...))
	require.NoError(t, err)
	defer client.Close()
	ends, err := kadm.NewClient(client).ListEndOffsets(t.Context(), topic)
	require.NoError(t, err)
	ends.Each(func(o kadm.ListedOffset) { n += max(0, o.Offset) })
	return n
}

func TestSampleSaysWhatIsWrong(t *testing.T) {
	t.Setenv("AUDITTRAIL_KAFKA_BROKERS", "127.0.0.1:1")
	for _, args := range [][]string{
		{"--interval", "0"}, {"--bad", "2"}, {"--repeat", "-1"}, {"--records", "-1"}, {"--partitions", "0"},
	} {
		_, errs, status := call(t, append([]string{"sample"}, args...)...)
		require.Equal(t, 2, status, errs)
	}
}
