package replay_test

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"audittrail/modules/event"
	"audittrail/modules/replay"
)

// receiver is a webhook that keeps what it has taken.
type receiver struct {
	t      *testing.T
	url    string
	secret []byte
	folder string

	mu     sync.Mutex
	judge  func(r *http.Request, positions []int64) int // the status, by what it gets
	taken  []int64                                      // positions, in the order of the answers
	leases map[string]bool
	events map[int64]*event.Event
}

func newReceiver(t *testing.T) *receiver {
	t.Helper()
	r := &receiver{t: t, secret: []byte("a secret of at least 24 bytes"), folder: t.TempDir(), leases: map[string]bool{}, events: map[int64]*event.Event{}}
	server := httptest.NewTLSServer(r)
	t.Cleanup(server.Close)
	r.url = server.URL + "/hook"
	ca := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw})
	require.NoError(t, os.WriteFile(r.file("ca"), ca, 0o600))
	require.NoError(t, os.WriteFile(r.file("secret"), []byte("whsec_"+base64.StdEncoding.EncodeToString(r.secret)+"\n"), 0o600))
	return r
}

func (r *receiver) file(name string) string { return filepath.Join(r.folder, name) }

// allow lets replays write to the webhook.
func (r *receiver) allow(set *settings) {
	set.options.Targets = []replay.TargetOptions{{Type: "webhook", URL: r.url, SecretFile: r.file("secret"), CA: r.file("ca"), AllowPrivate: true}}
}

func (r *receiver) decide(judge func(*http.Request, []int64) int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.judge = judge
}

func (r *receiver) ServeHTTP(w http.ResponseWriter, q *http.Request) {
	body, err := io.ReadAll(q.Body)
	if err != nil {
		return
	}
	mac := hmac.New(sha256.New, r.secret)
	_, _ = io.WriteString(mac, q.Header.Get("webhook-id")+"."+q.Header.Get("webhook-timestamp")+"."+string(body))
	if want := "v1," + base64.StdEncoding.EncodeToString(mac.Sum(nil)); q.Header.Get("webhook-signature") != want {
		r.t.Errorf("the signature is %s", q.Header.Get("webhook-signature"))
	}
	var positions []int64
	var values [][]byte
	if header := q.Header.Get("audittrail-position"); header != "" {
		position, _ := strconv.ParseInt(header, 10, 64)
		positions, values = []int64{position}, [][]byte{body}
	} else {
		var batch []struct {
			Position int64
			Event    json.RawMessage
		}
		if err := json.Unmarshal(body, &batch); err != nil {
			r.t.Errorf("the body: %v", err)
		}
		for _, b := range batch {
			positions, values = append(positions, b.Position), append(values, b.Event)
		}
	}
	r.mu.Lock()
	judge := r.judge
	r.mu.Unlock()
	status := http.StatusNoContent
	if judge != nil {
		status = judge(q, positions)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.leases[q.Header.Get("audittrail-lease")] = true
	if status/100 == 2 && q.Context().Err() == nil {
		for i, position := range positions {
			r.taken = append(r.taken, position)
			r.events[position] = decoded(r.t, values[i])
		}
	}
	if status == http.StatusTooManyRequests {
		w.Header().Set("Retry-After", "1")
	}
	w.WriteHeader(status)
}

// requireTaken checks that the events were taken, those of an aggregate in their order where repeats are left out.
func (r *receiver) requireTaken(want []event.Stored) {
	r.t.Helper()
	r.mu.Lock()
	defer r.mu.Unlock()
	byPosition := map[int64]*event.Stored{}
	for i := range want {
		byPosition[want[i].Position] = &want[i]
	}
	last, seen := map[string]int64{}, map[int64]bool{}
	for _, position := range r.taken {
		e := byPosition[position]
		require.NotNil(r.t, e, "position %d", position)
		if !seen[position] {
			require.GreaterOrEqual(r.t, position, last[e.AggregateID], "the order of %s", e.AggregateID)
			last[e.AggregateID], seen[position] = position, true
		}
		require.Equal(r.t, e.Digest(), r.events[position].Digest())
	}
	require.Len(r.t, seen, len(want))
}

// hasty waits for webhooks no longer than a test has time.
func hasty(d *replay.Dependencies) {
	d.Webhook = replay.WebhookPatience{Timeout: 2 * time.Second, LeastBackoff: 5 * time.Millisecond, MostBackoff: 100 * time.Millisecond}
}

func (r *receiver) target(more string) string {
	return `{"target":{"type":"webhook","url":"` + r.url + `"` + more + `},"reason":"test"}`
}

// A webhook that fails at random, stalls, and has enough now and then gets everything all the same.
func TestReplayToAWebhookThatFails(t *testing.T) {
	t.Parallel()
	for _, batch := range []string{"", `,"batch":7`} {
		t.Run("batch"+batch, func(t *testing.T) {
			t.Parallel()
			hook := newReceiver(t)
			stalls := make(chan struct{}, 2)
			hook.decide(func(r *http.Request, _ []int64) int {
				switch n := rand.IntN(100); {
				case n < 15:
					return []int{500, 502, 503, 408}[n%4]
				case n < 16:
					select {
					case stalls <- struct{}{}: // few of them: each takes its time
						<-r.Context().Done()
					default:
					}
					return 500
				case n == 16:
					return http.StatusTooManyRequests
				}
				return http.StatusOK
			})
			s := newSystem(t, hook.allow)
			s.append(300)
			s.work(hasty)
			done := s.until(s.start(hook.target(batch)), "completed")
			require.Equal(t, json.Number("300"), done["sent"])
			require.Equal(t, json.Number("0"), done["failed"])
			hook.requireTaken(s.all())
		})
	}
}

// An event that is refused keeps the later ones of its aggregate back, and those alone; a retry sends just them.
func TestFailedDeliveriesAreSentAgain(t *testing.T) {
	t.Parallel()
	hook := newReceiver(t)
	s := newSystem(t, hook.allow)
	s.append(100)
	all := s.all()
	hook.decide(func(_ *http.Request, positions []int64) int {
		for _, p := range positions {
			if n := p % 100; n == 25 || n == 57 { // of o-5 and o-7
				return http.StatusUnprocessableEntity
			}
		}
		return http.StatusOK
	})
	s.work(hasty)
	id := s.start(hook.target(`,"batch":10`))
	done := s.until(id, "completed")
	require.Equal(t, []any{json.Number("2"), json.Number("11"), json.Number("87")}, []any{done["failed"], done["waiting"], done["sent"]})
	failures := s.ask(http.MethodGet, "/v1/replays/"+id+"/failures?limit=9", "")
	require.Equal(t, http.StatusOK, failures.status)
	first := failures.body["items"].([]any)[0].(map[string]any)
	require.Equal(t, "the webhook answers 422", first["reason"])
	require.Equal(t, []any{json.Number("25"), "o-5"}, []any{first["position"], first["aggregateId"]})
	rest := s.ask(http.MethodGet, "/v1/replays/"+id+"/failures?after="+failures.body["nextCursor"].(string), "")
	require.Len(t, rest.body["items"], 4)

	hook.decide(nil)
	hook.mu.Lock()
	before := len(hook.taken)
	hook.mu.Unlock()
	require.Equal(t, http.StatusOK, s.ask(http.MethodPost, "/v1/replays/"+id+"/retry", "").status)
	require.Eventually(t, func() bool {
		got := s.ask(http.MethodGet, "/v1/replays/"+id, "").body
		return got["state"] == "completed" && got["sent"] == json.Number("100")
	}, patience, 20*time.Millisecond)
	hook.requireTaken(all)
	require.Len(t, hook.taken, before+13, "just those that had failed, or waited")
}

// More than a thousand events that wait pause the job.
func TestTooManyThatWaitPauseTheJob(t *testing.T) {
	t.Parallel()
	hook := newReceiver(t)
	hook.decide(func(*http.Request, []int64) int { return http.StatusForbidden })
	s := newSystem(t, hook.allow)
	s.append(2000)
	s.work(hasty)
	paused := s.until(s.start(hook.target("")), "paused")
	require.Contains(t, paused["error"], "more than 1000 events")
	require.Equal(t, json.Number("0"), paused["sent"])
}

func TestPrivateAddressesAreNotDialled(t *testing.T) {
	t.Parallel()
	hook := newReceiver(t)
	s := newSystem(t, hook.allow, func(set *settings) { set.options.Targets[0].AllowPrivate = false })
	s.append(1)
	s.work(hasty)
	done := s.until(s.start(hook.target("")), "completed")
	require.Equal(t, json.Number("1"), done["failed"])
	require.Empty(t, hook.taken)
	require.Contains(t, s.ask(http.MethodGet, "/v1/replays/"+done["id"].(string)+"/failures", "").body["items"].([]any)[0].(map[string]any)["reason"], "private")
}

func TestRedirectsAreNotFollowed(t *testing.T) {
	t.Parallel()
	hook := newReceiver(t)
	hook.decide(func(r *http.Request, _ []int64) int {
		if strings.HasSuffix(r.URL.Path, "/hook") {
			return http.StatusTemporaryRedirect
		}
		return http.StatusOK
	})
	s := newSystem(t, hook.allow)
	s.append(1)
	s.work(hasty)
	require.Equal(t, json.Number("1"), s.until(s.start(hook.target("")), "completed")["failed"])
}
