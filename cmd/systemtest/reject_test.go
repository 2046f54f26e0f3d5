package systemtest

import (
	"bytes"
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"audittrail/modules/event"
	"audittrail/modules/event/eventtest"
)

// TestBadBetweenGood proves that each kind of bad record becomes a dead letter with its bytes,
// coordinates and reason, in the table and in the dead-letter topic, and keeps no good one from being
// stored.
func TestBadBetweenGood(t *testing.T) {
	t.Parallel()
	bad := eventtest.Bad()
	if len(bad) < 50 {
		t.Fatalf("only %d kinds of bad records", len(bad))
	}
	s := newStack(t)
	f := newFeed(s)
	sent := make([]*kgo.Record, len(bad))
	for i, c := range bad {
		f.send(t.Context(), 3)
		sent[i] = &kgo.Record{
			Topic: s.topic, Key: []byte("order-1001"), Value: c.Value,
			Headers: []kgo.RecordHeader{{Key: "traceparent", Value: []byte(c.Name)}},
		}
		if err := s.client.ProduceSync(t.Context(), sent[i]).FirstErr(); err != nil {
			t.Fatalf("%s: %v", c.Name, err)
		}
	}
	f.send(t.Context(), 3)
	p := s.ingest("ingest")
	s.caughtUp(time.Minute, p)

	for i, c := range bad {
		var reason string
		var value []byte
		err := s.db.QueryRow(t.Context(), `SELECT reason, value FROM dead_letters WHERE topic = $1 AND partition = $2 AND "offset" = $3`,
			s.topic, sent[i].Partition, sent[i].Offset).Scan(&reason, &value)
		if err != nil {
			t.Errorf("%s: its dead letter: %v", c.Name, err)
		} else if want := kept(c); reason != string(c.Reason) || !bytes.Equal(value, want) || (value == nil) != (want == nil) {
			t.Errorf("%s: its dead letter has reason %s, not %s, or other bytes", c.Name, reason, c.Reason)
		}
	}
	if n := one[int64](s, "SELECT count(*) FROM dead_letters"); n != int64(len(bad)) {
		t.Errorf("%d dead letters, not %d", n, len(bad))
	}
	for i, c := range bad {
		if c.Reason == event.TooLarge {
			sent[i].Value = nil // is published without its value
		}
	}
	s.published(sent)
	p.stop()
	s.balanced()
	f.holdsAll()
}

// kept is what a dead letter keeps of a bad record's value.
func kept(c eventtest.Case) []byte {
	if c.Reason == event.TooLarge {
		return c.Value[:event.OversizeKept]
	}
	return c.Value
}

// published waits until the dead-letter topic holds each record with its bytes and where it was.
func (s *stack) published(sent []*kgo.Record) {
	s.t.Helper()
	reader, err := kgo.NewClient(kgo.SeedBrokers(s.brokers...), kgo.ConsumeTopics(s.topic+".dlq"), kgo.UnknownTopicRetries(-1),
		kgo.MetadataMinAge(100*time.Millisecond), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
	if err != nil {
		s.t.Fatal(err)
	}
	defer reader.Close()
	type place struct{ partition, offset string }
	found := map[place]*kgo.Record{}
	ctx, cancel := context.WithTimeout(s.t.Context(), time.Minute)
	defer cancel()
	for len(found) < len(sent) {
		fetches := reader.PollFetches(ctx)
		if ctx.Err() != nil {
			s.t.Fatalf("%d of %d dead letters were published", len(found), len(sent))
		}
		fetches.EachRecord(func(r *kgo.Record) {
			found[place{header(r, "audittrail-dead-letter-partition"), header(r, "audittrail-dead-letter-offset")}] = r
		})
	}
	for _, record := range sent {
		got := found[place{fmt.Sprint(record.Partition), fmt.Sprint(record.Offset)}]
		if got == nil || !bytes.Equal(got.Value, record.Value) || !bytes.Equal(got.Key, record.Key) {
			s.t.Errorf("the dead letter of %d/%d is not in the dead-letter topic as it was", record.Partition, record.Offset)
		}
	}
}

func header(r *kgo.Record, key string) string {
	for _, h := range r.Headers {
		if h.Key == key {
			return string(h.Value)
		}
	}
	return ""
}
