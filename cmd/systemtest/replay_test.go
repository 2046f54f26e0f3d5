package systemtest

import (
	"bytes"
	"context"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"audittrail/modules/store"
	"audittrail/platform/kafkatest"
)

// hook is a webhook that notes which worker has sent what, by the number of its lease.
type hook struct {
	url, config string // config is a file that allows replays to it, and to a topic

	mu       sync.Mutex
	newest   int64
	stale    int             // requests of a lease that came after one of a newer lease
	received map[string]bool // positions, of leases that were the newest
}

// hookLanes is how many requests of one replay are on their way at a time.
const hookLanes = 8

func newHook(t *testing.T, topic string) *hook {
	t.Helper()
	h := &hook{received: map[string]bool{}}
	server := httptest.NewTLSServer(h)
	t.Cleanup(server.Close)
	h.url = server.URL + "/hook"
	dir := t.TempDir()
	write := func(name string, content []byte) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, content, 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	ca := write("ca", pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw}))
	secret := write("secret", []byte("whsec_YSBzZWNyZXQgb2YgYXQgbGVhc3QgMjQgYnl0ZXM=\n"))
	h.config = write("config.yaml", fmt.Appendf(nil, "replay:\n  targets:\n  - {type: kafka, topic: %s}\n  - {type: webhook, url: %q, secret_file: %s, ca: %s, allow_private: true}\n",
		topic, h.url, secret, ca))
	return h
}

func (h *hook) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	lease, _ := strconv.ParseInt(r.Header.Get("audittrail-lease"), 10, 64)
	h.mu.Lock()
	defer h.mu.Unlock()
	_, _ = io.Copy(io.Discard, r.Body)
	if lease < h.newest { // what a receiver that wants one sender has to refuse
		h.stale++
		w.WriteHeader(http.StatusConflict)
		return
	}
	h.newest = lease
	h.received[r.Header.Get("audittrail-position")] = true
}

// replayed is what one sees of a job.
type replayed struct {
	state string
	lease int64
	sent  int64
}

func (s *stack) replayOf(ctx context.Context, key string) (r replayed, err error) {
	err = s.db.QueryRow(ctx, `SELECT state, lease, sent FROM replays WHERE target_key = $1`, key).Scan(&r.state, &r.lease, &r.sent)
	return r, err
}

// TestOneSenderOfAReplay proves that of a process that was stopped (SIGSTOP) while it sent a replay and stored its
// progress, and goes on after another one has taken the replay over, nothing reaches the topic, and no more reaches a
// webhook than was on its way: and that the replays go on within 15 s of a kill -9, with each event sent at last.
func TestOneSenderOfAReplay(t *testing.T) {
	t.Parallel()
	const (
		events    = 1200
		perSecond = 50               // so that no replay ends before another worker has it
		taken     = 15 * time.Second // that a takeover may take
		query     = 'Q'              // the kind of PostgreSQL's message with a statement without parameters
	)
	s := newStack(t)
	f := newFeed(s)
	f.send(t.Context(), events)
	ingest := s.ingest("ingest")
	s.caughtUp(time.Minute, ingest)
	ingest.stop()

	copied := s.topic + "-copy"
	kafkatest.At(t, s.brokers...).CreateTopic(copied, 3, nil)
	h := newHook(t, copied)
	jobs := store.NewReplays(s.db)
	keys := []string{"kafka:" + copied, "webhook:" + h.url}
	for i, target := range []any{map[string]string{"type": "kafka", "topic": copied}, map[string]string{"type": "webhook", "url": h.url}} {
		text, err := json.Marshal(target)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := jobs.Create(store.WithScope(t.Context(), store.Everything()), store.NewReplay{
			CreatedBy: "test", Reason: "test", Filter: []byte("{}"), Target: text, TargetKey: keys[i],
			Speed: fmt.Appendf(nil, `{"maxPerSecond":%d}`, perSecond), Until: events - 1, Total: events,
		}); err != nil {
			t.Fatal(err)
		}
	}
	worker := func(name, databaseURL string) *program {
		return start(t, name, "serve", "--roles=replay", "--config", h.config, "--postgres.url", databaseURL,
			"--kafka.brokers", strings.Join(s.brokers, ","), "--kafka.topics", s.topic, "--log.format", "json")
	}
	// bothSend waits until both replays are sent by the worker that took them as the nth.
	bothSend := func(nth int64, within time.Duration) {
		t.Helper()
		began := time.Now()
		before := map[string]int64{}
		eventually(t, within, fmt.Sprintf("worker %d sends", nth), func(ctx context.Context) error {
			for _, key := range keys {
				r, err := s.replayOf(ctx, key)
				if err != nil {
					return err
				}
				if r.state == "completed" {
					t.Fatalf("%s was completed before worker %d had it: this machine is too slow for the test", key, nth)
				}
				if r.lease < nth {
					return fmt.Errorf("%s: lease %d", key, r.lease)
				}
				if first, known := before[key]; !known || r.sent == first {
					before[key] = r.sent
					return fmt.Errorf("%s: %d were sent", key, r.sent)
				}
			}
			return nil
		})
		t.Logf("worker %d sends after %s", nth, time.Since(began).Round(100*time.Millisecond))
	}

	p := newProxy(t, s.url)
	stalls := newStall(p, func(kind byte, body []byte) bool { return kind == query && bytes.Equal(body, []byte("commit\x00")) })
	t.Cleanup(stalls.release)
	zombie := worker("zombie", through(t, s.url, p.address))
	bothSend(1, time.Minute)
	stalls.arm(func() { zombie.signal(syscall.SIGSTOP) })
	select {
	case <-stalls.happened:
	case <-time.After(30 * time.Second):
		t.Fatal("no progress was stored")
	}
	heir := worker("heir", s.url)
	bothSend(2, taken+10*time.Second) // and its start
	zombie.signal(syscall.SIGCONT)
	stalls.release()
	eventually(t, 30*time.Second, "the zombie gives both up", func(context.Context) error {
		log, err := os.ReadFile(zombie.log)
		if n := bytes.Count(log, []byte("gives a replay up")); err == nil && n < 2 {
			err = fmt.Errorf("%d of them", n)
		}
		return err
	})
	heir.kill()
	// Until here it had to last, from here it need not.
	if _, err := s.db.Exec(t.Context(), `UPDATE replays SET speed = '{"maxPerSecond":500}'`); err != nil {
		t.Fatal(err)
	}
	bothSend(3, taken)
	for _, key := range keys {
		eventually(t, time.Minute, key+" is completed", func(ctx context.Context) error {
			r, err := s.replayOf(ctx, key)
			if err == nil && r.state != "completed" {
				err = fmt.Errorf("%+v", r)
			}
			return err
		})
	}
	zombie.stop()

	h.mu.Lock()
	defer h.mu.Unlock()
	t.Logf("the webhook got %d requests of a worker whose time was over", h.stale)
	if len(h.received) != events || h.newest != 3 || h.stale > hookLanes {
		t.Errorf("the webhook got %d events, lease %d at last, and %d requests of older leases", len(h.received), h.newest, h.stale)
	}
	s.oneWriter(copied, events)
}

// oneWriter reads a topic and checks that all positions are there, and that none wrote to a partition again after
// another one had begun: Kafka numbers the writers of a transactional id.
func (s *stack) oneWriter(topic string, events int) {
	s.t.Helper()
	client := kafkatest.At(s.t, s.brokers...).Client(kgo.ConsumeTopics(topic), kgo.FetchIsolationLevel(kgo.ReadCommitted()),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
	ctx, cancel := context.WithTimeout(s.t.Context(), time.Minute)
	defer cancel()
	positions := map[string]bool{}
	newest := map[int32]int16{} // epochs, by partition
	for len(positions) < events {
		fetches := client.PollFetches(ctx)
		if ctx.Err() != nil {
			s.t.Fatalf("%d of %d positions are in %s", len(positions), events, topic)
		}
		fetches.EachRecord(func(r *kgo.Record) {
			if r.ProducerEpoch < newest[r.Partition] {
				s.t.Errorf("%s/%d: epoch %d writes at offset %d, after %d", topic, r.Partition, r.ProducerEpoch, r.Offset, newest[r.Partition])
			}
			newest[r.Partition] = r.ProducerEpoch
			for _, header := range r.Headers {
				if header.Key == "audittrail-position" {
					positions[string(header.Value)] = true
				}
			}
		})
	}
}
