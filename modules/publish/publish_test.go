package publish

import (
	"bytes"
	"compress/gzip"
	"context"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
)

const topic = "orders"

func broker(t *testing.T) *kfake.Cluster {
	t.Helper()
	c, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.SeedTopics(3, topic))
	require.NoError(t, err)
	t.Cleanup(c.Close)
	return c
}

func producer(t *testing.T, c *kfake.Cluster) *kgo.Client {
	t.Helper()
	client, err := kgo.NewClient(kgo.SeedBrokers(c.ListenAddrs()...), kgo.RecordDeliveryTimeout(20*time.Second))
	require.NoError(t, err)
	t.Cleanup(client.Close)
	return client
}

// consume reads n records of the topic.
func consume(t *testing.T, c *kfake.Cluster, n int) []*kgo.Record {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	client, err := kgo.NewClient(kgo.SeedBrokers(c.ListenAddrs()...), kgo.ConsumeTopics(topic))
	require.NoError(t, err)
	defer client.Close()
	var records []*kgo.Record
	for len(records) < n {
		fetches := client.PollFetches(ctx)
		require.NoError(t, fetches.Err(), "after %d of %d records", len(records), n)
		records = append(records, fetches.Records()...)
	}
	return records
}

func options() Options { return Options{Topic: topic, MaxBytes: 1000, Grace: 5 * time.Second} }

func events(n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, `{"eventId":"e-%d","aggregateId":"order-%d"}`+"\n", i, i%7)
	}
	return b.String()
}

func packed(t *testing.T, text string) []byte {
	t.Helper()
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	_, err := w.Write([]byte(text))
	require.NoError(t, err)
	require.NoError(t, w.Close())
	return b.Bytes()
}

func TestPlainAndGzipArriveKeyedAndInOrder(t *testing.T) {
	text := events(500)
	for name, in := range map[string][]byte{"plain": []byte(text), "gzip": packed(t, text), "no newline at the end": []byte(strings.TrimSuffix(text, "\n"))} {
		t.Run(name, func(t *testing.T) {
			c := broker(t)
			p := New(producer(t, c), options())
			require.NoError(t, p.Run(t.Context(), bytes.NewReader(in)))
			require.Equal(t, Progress{Lines: 500, Events: 500, Bytes: int64(len(text) - 500), Acknowledged: 500}, p.Progress())
			last := map[string]int{}
			for _, r := range consume(t, c, 500) {
				var n, order int
				_, err := fmt.Sscanf(string(r.Value), `{"eventId":"e-%d","aggregateId":"order-%d"}`, &n, &order)
				require.NoError(t, err)
				require.Equal(t, fmt.Sprintf("order-%d", order), string(r.Key))
				require.GreaterOrEqual(t, n, last[string(r.Key)], "order within a key")
				last[string(r.Key)] = n
			}
		})
	}
}

func TestWhatIsNoEventIsSentAsItIsWithoutAKey(t *testing.T) {
	others := []string{
		`not json`, `[1]`, `"aggregateId"`, `{"aggregateId":7}`, `{"aggregateId":null}`, `{"nested":{"aggregateId":"x"}}`,
		`{"aggregateId":"a"`, `{"aggregateId":"a"} {}`, `{"aggregateId":"a","x":1,"x":2}`, "{\"aggregateId\":\"\xff\"}",
	}
	c := broker(t)
	p := New(producer(t, c), options())
	in := "\n  \n" + strings.Join(others, "\r\n") + "\n\n" + `{"aggregateId":"k\u00f6"}` + "\n"
	require.NoError(t, p.Run(t.Context(), strings.NewReader(in)))
	got := p.Progress()
	require.EqualValues(t, len(others), got.Others)
	require.EqualValues(t, 1, got.Events)
	require.EqualValues(t, 3, got.Blank)
	require.EqualValues(t, len(others)+4, got.Lines)
	var values []string
	for _, r := range consume(t, c, len(others)+1) {
		if string(r.Key) == "kö" {
			continue
		}
		require.Nil(t, r.Key)
		values = append(values, string(r.Value))
	}
	require.ElementsMatch(t, others, values)
}

func TestALineThatIsTooLongIsNamed(t *testing.T) {
	for _, size := range []int{1001, 100_000} {
		c := broker(t)
		p := New(producer(t, c), options())
		err := p.Run(t.Context(), strings.NewReader(events(3)+strings.Repeat("x", size)+"\n"+events(2)))
		require.ErrorContains(t, err, "line 4 is longer than the 1000 bytes")
		require.EqualValues(t, 3, p.Progress().Acknowledged, "what came before has arrived")
	}
	p := New(producer(t, broker(t)), options())
	require.NoError(t, p.Run(t.Context(), strings.NewReader(strings.Repeat("x", 1000)+"\n")), "the limit itself fits")
}

func TestALineThatKafkaRefusesIsNamed(t *testing.T) {
	client, err := kgo.NewClient(kgo.SeedBrokers(broker(t).ListenAddrs()...), kgo.UnknownTopicRetries(0))
	require.NoError(t, err)
	defer client.Close()
	o := options()
	o.Topic = "nowhere"
	p := New(client, o)
	err = p.Run(t.Context(), strings.NewReader(events(2)))
	require.ErrorIs(t, err, kerr.UnknownTopicOrPartition)
	require.ErrorContains(t, err, "line 1 was not accepted")
	require.Zero(t, p.Progress().Acknowledged)
}

func TestACutGzipSaysHowFarItCame(t *testing.T) {
	whole := packed(t, events(5000))
	p := New(producer(t, broker(t)), options())
	err := p.Run(t.Context(), bytes.NewReader(whole[:len(whole)/2]))
	require.ErrorIs(t, err, io.ErrUnexpectedEOF)
	require.ErrorContains(t, err, "read after line")
	require.Equal(t, p.Progress().Events+p.Progress().Others, p.Progress().Acknowledged)
}

// interrupted cancels a context after some lines, as Ctrl-C does.
type interrupted struct {
	io.Reader
	after  int
	cancel context.CancelFunc
}

func (r *interrupted) Read(p []byte) (int, error) {
	if r.after--; r.after == 0 {
		r.cancel()
	}
	return r.Reader.Read(p[:min(len(p), 50)])
}

func TestAnInterruptedRunSaysWhatIsCertain(t *testing.T) {
	c := broker(t)
	ctx, cancel := context.WithCancel(t.Context())
	p := New(producer(t, c), options())
	err := p.Run(ctx, &interrupted{Reader: strings.NewReader(events(10_000)), after: 200, cancel: cancel})
	require.ErrorIs(t, err, context.Canceled)
	got := p.Progress()
	require.NotZero(t, got.Acknowledged)
	require.Less(t, got.Lines, int64(10_000))
	require.Equal(t, got.Events, got.Acknowledged, "what was sent has been waited for")
	require.Len(t, consume(t, c, int(got.Acknowledged)), int(got.Acknowledged))
}

// deaf never acknowledges.
type deaf struct{}

func (deaf) Produce(context.Context, *kgo.Record, func(*kgo.Record, error)) {}
func (deaf) Flush(ctx context.Context) error                                { <-ctx.Done(); return ctx.Err() }

func TestAnInterruptedRunEndsWithinItsGrace(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	o := options()
	o.Grace = 10 * time.Millisecond
	err := New(deaf{}, o).Run(ctx, strings.NewReader(events(10)))
	require.ErrorIs(t, err, context.Canceled)
}
