package replay_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kfake"

	"audittrail/modules/access"
	"audittrail/modules/event"
	"audittrail/modules/protect"
	"audittrail/modules/protect/protecttest"
	"audittrail/modules/replay"
	"audittrail/modules/store"
)

const (
	sealedForm = `{"$sealed":true}`
	erasedForm = `{"$erased":true}`
)

// newSealedSystem has four orders: two whose secrets can be opened, one without, and one whose secret is erased. Of the
// targets, the topic open may get secrets in plain text.
func newSealedSystem(t *testing.T) *system {
	t.Helper()
	rules, err := protect.NewRules([]protect.RuleOptions{{EventType: "*", Path: "$.payload.secret", Subject: "$.payload.who"}})
	require.NoError(t, err)
	cluster, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.SeedTopics(3, "copy", "open", "orders"))
	require.NoError(t, err)
	t.Cleanup(cluster.Close)
	s := newSystem(t, func(set *settings) {
		set.kek, set.rules, set.brokers = &protecttest.KEK{}, rules, cluster.ListenAddrs()
		set.options.Targets = []replay.TargetOptions{{Type: "kafka", Topic: "copy"}, {Type: "kafka", Topic: "open", PII: true}}
		set.access.Roles = []access.RoleOptions{{Name: "paid", Permissions: []string{"pii:read"}, Scope: access.ScopeOptions{EventTypes: []string{"*Paid"}}}}
	})
	s.append(0, secretOrder(0), secretOrder(1), order(2), secretOrder(3))
	s.eraseSubject("w-3")
	return s
}

// secretOrder is an order with a secret of a person of its own.
func secretOrder(n int) string {
	return strings.Replace(order(n), `"payload":{`, fmt.Sprintf(`"payload":{"secret":["Ermintrude",%d],"who":"w-%d",`, n, n), 1)
}

func (s *system) eraseSubject(subject string) {
	s.t.Helper()
	hash, err := s.keys.Hash(s.t.Context(), subject)
	require.NoError(s.t, err)
	destroyed, _, err := store.NewKeyDestroyer(openPool(s.t, s.database, "audittrail_maintain")).Destroy(s.t.Context(), hash, time.Now(), nil)
	require.NoError(s.t, err)
	require.Len(s.t, destroyed, 1)
}

// secrets are what a job has sent of each event's secret, by the event's number.
func (s *system) secrets(topic, job string) map[int]string {
	s.t.Helper()
	all := map[int]string{}
	for _, r := range s.consumeAll(topic) {
		if header(r, "audittrail-replay-id") == job {
			var e struct {
				Payload struct {
					N      int
					Secret json.RawMessage
				}
			}
			require.NoError(s.t, json.Unmarshal(r.Value, &e))
			all[e.Payload.N] = string(e.Payload.Secret)
		}
	}
	return all
}

// Sealed values are sent open where the target may have them and the creator may see them, as placeholders where the
// job says so, and else not at all.
func TestAReplayCarriesWhatItsCreatorMaySee(t *testing.T) {
	t.Parallel()
	s := newSealedSystem(t)
	s.work()
	var (
		open    = map[int]string{0: `["Ermintrude",0]`, 1: `["Ermintrude",1]`, 2: "", 3: erasedForm}
		hidden  = map[int]string{0: sealedForm, 1: sealedForm, 2: "", 3: erasedForm}
		paid    = map[int]string{1: `["Ermintrude",1]`, 3: erasedForm}
		refused map[int]string
	)
	const everything, onlyPaid, withoutValues = `{}`, `{"eventType":["OrderPaid"]}`, `{"aggregateId":"o-2"}`
	for _, c := range []struct {
		roles, topic, filter string
		placeholder          bool
		want                 map[int]string
		closed               int // events that refuse the job
	}{
		{"admin", "open", everything, false, open, 0},
		{"admin", "open", everything, true, hidden, 0},
		{"admin", "copy", everything, false, refused, 3},
		{"admin", "copy", everything, true, hidden, 0},
		{"admin", "copy", withoutValues, false, map[int]string{2: ""}, 0},
		{"operator", "open", everything, false, refused, 3},
		{"operator", "open", everything, true, hidden, 0},
		{"operator", "copy", everything, false, refused, 3},
		{"operator", "copy", everything, true, hidden, 0},
		{"operator", "copy", withoutValues, false, map[int]string{2: ""}, 0},
		{"operator paid", "open", everything, false, refused, 1}, // OrderCreated is outside of its pii:read
		{"operator paid", "open", everything, true, hidden, 0},
		{"operator paid", "open", onlyPaid, false, paid, 0},
		{"operator paid", "copy", onlyPaid, false, refused, 2},
	} {
		t.Run(fmt.Sprint(c.roles, " to ", c.topic, " of ", c.filter, " placeholder ", c.placeholder), func(t *testing.T) {
			s.t = t
			body := fmt.Sprintf(`{"target":{"type":"kafka","topic":%q},"filter":%s,"reason":"test"`, c.topic, c.filter)
			if c.placeholder {
				body += `,"sealed":"placeholder"`
			}
			roles := strings.Fields(c.roles)
			preview := s.ask(http.MethodPost, "/v1/replays", body+`,"dryRun":true}`, roles...)
			require.Equal(t, http.StatusOK, preview.status, preview.body)
			want := map[string][]any{everything: {json.Number("3"), json.Number("1")}, onlyPaid: {json.Number("2"), json.Number("1")}, withoutValues: {json.Number("0"), json.Number("0")}}
			got := []any{preview.body["sealed"], preview.body["erased"]}
			require.Equal(t, want[c.filter], got)

			made := s.ask(http.MethodPost, "/v1/replays", body+"}", roles...)
			if c.want == nil {
				made.refused(t, http.StatusUnprocessableEntity, "sealed_values", "sealed")
				require.Contains(t, made.body["detail"], fmt.Sprintf("sealed: %d of the events", c.closed))
				return
			}
			require.Equal(t, http.StatusCreated, made.status, made.body)
			id := made.body["id"].(string)
			s.until(id, "completed")
			require.Equal(t, c.want, s.secrets(c.topic, id))
		})
	}
	s.t = t
}

// What is sent open is the event that was ingested, and ends sealed where it is ingested again.
func TestOpenedEventsAreTheSameHistory(t *testing.T) {
	t.Parallel()
	s := newSealedSystem(t)
	s.work()
	made := s.ask(http.MethodPost, "/v1/replays", `{"target":{"type":"kafka","topic":"open"},"reason":"test","until":2}`, "admin")
	require.Equal(t, http.StatusCreated, made.status, made.body)
	s.until(made.body["id"].(string), "completed")
	want := map[string]event.Digest{}
	for _, value := range []string{secretOrder(0), secretOrder(1), order(2)} {
		e := decoded(t, []byte(value))
		want[e.ID.String()] = e.Digest()
	}
	got := map[string]event.Digest{}
	for _, r := range s.consumeAll("open") {
		e := decoded(t, r.Value)
		got[e.ID.String()] = e.Digest()
	}
	require.Equal(t, want, got)
}

// The worker trusts no job blindly: what it may not send it refuses where it meets it, and sends nothing of that batch.
func TestAWorkerRefusesSealedValues(t *testing.T) {
	t.Parallel()
	plain := func(s *system) func(*replay.Dependencies) {
		return func(d *replay.Dependencies) {
			d.Targets = replay.NewTargets(replay.Options{Targets: []replay.TargetOptions{{Type: "kafka", Topic: "copy"}, {Type: "kafka", Topic: "open"}}},
				func(string) bool { return false }, ".dlq")
		}
	}
	withoutKeys := func(s *system) func(*replay.Dependencies) {
		return func(d *replay.Dependencies) {
			d.Reader = store.NewReader(store.ReaderOptions{Pool: openPool(s.t, s.database, "audittrail_replay"), Scoped: true})
		}
	}
	asIs := func(*system) func(*replay.Dependencies) { return func(*replay.Dependencies) {} }
	for name, c := range map[string]struct {
		worker func(*system) func(*replay.Dependencies)
		opens  store.Scope
		stored bool
		from   string // where the selection begins
		fails  bool
	}{
		"nothing was said":                {asIs, store.Scope{}, false, "", true},
		"erased values, nothing was said": {asIs, store.Scope{}, false, `{"from":"2026-03-01T09:30:03Z"}`, true},
		"all may be opened":               {asIs, store.Everything(), true, "", false},
		"some may be opened":              {asIs, store.Only(store.ScopePart{EventTypes: []string{"*Paid"}}), true, "", true},
		"nothing may be opened":           {asIs, store.Scope{}, true, "", true},
		"the target may not have them":    {plain, store.Everything(), true, "", true},
		"no keys":                         {withoutKeys, store.Everything(), true, "", true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newSealedSystem(t)
			job := store.NewReplay{CreatedBy: "ann", Reason: "test", Filter: []byte(`{}`), Target: []byte(`{"type":"kafka","topic":"open"}`),
				Speed: []byte(`{}`), TargetKey: "kafka:open", Until: 3, Total: 4}
			if c.from != "" {
				job.Filter = []byte(c.from)
			}
			if c.stored {
				var err error
				job.Opens, err = store.MarshalOpening(c.opens)
				require.NoError(t, err)
			}
			made, err := store.NewReplays(openPool(t, s.database, "audittrail_api")).Create(store.WithScope(t.Context(), store.Everything()), job)
			require.NoError(t, err)
			s.work(c.worker(s))
			if !c.fails {
				s.until(made.ID.String(), "completed")
				return
			}
			failed := s.until(made.ID.String(), "failed")
			require.Contains(t, failed["error"], "sealed values")
			require.NotContains(t, failed["error"], "Ermintrude")
			require.Empty(t, s.secrets("open", made.ID.String()))
		})
	}
}

// A job waits while the keys can't be had, and goes on when they can.
func TestAReplayWaitsForKeys(t *testing.T) {
	t.Parallel()
	s := newSealedSystem(t)
	kek := &protecttest.KEK{}
	kek.Away.Store(true)
	s.work(func(d *replay.Dependencies) {
		pool := openPool(t, s.database, "audittrail_replay")
		d.Reader = store.NewReader(store.ReaderOptions{Pool: pool, Scoped: true, Opener: protect.NewOpener(protect.NewKeyring(store.NewKeys(pool), kek.Open))})
	})
	made := s.ask(http.MethodPost, "/v1/replays", `{"target":{"type":"kafka","topic":"open"},"reason":"test"}`, "admin")
	require.Equal(t, http.StatusCreated, made.status, made.body)
	id := made.body["id"].(string)
	require.Eventually(t, func() bool {
		return strings.Contains(fmt.Sprint(s.ask(http.MethodGet, "/v1/replays/"+id, "").body["error"]), "keys")
	}, patience, 20*time.Millisecond)
	kek.Away.Store(false)
	s.until(id, "completed")
	require.Equal(t, erasedForm, s.secrets("open", id)[3])
}

// A topic that ingest reads by now gets nothing, whatever it was when the job was made.
func TestAWorkerRefusesATopicThatIsIngestedByNow(t *testing.T) {
	t.Parallel()
	s := newSealedSystem(t)
	id := s.start(`{"target":{"type":"kafka","topic":"copy"},"reason":"test","sealed":"placeholder"}`)
	_, err := s.store.EnsureOffsets(t.Context(), []store.PartitionStart{{Partition: store.Partition{TopicID: event.TopicID{7}, Topic: "copy"}}})
	require.NoError(t, err)
	s.work()
	require.Contains(t, s.until(id, "failed")["error"], "is being ingested")
	require.Empty(t, s.consumeAll("copy"))
}
