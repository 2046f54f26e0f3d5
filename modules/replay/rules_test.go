package replay_test

import (
	"bufio"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/stretchr/testify/require"

	"audittrail/modules/access"
	"audittrail/modules/event"
	"audittrail/modules/httpapi/httpapitest"
	"audittrail/modules/protect"
	"audittrail/modules/replay"
)

func (a answer) refused(t *testing.T, status int, code, field string) {
	t.Helper()
	require.Equal(t, status, a.status, a.body)
	require.Equal(t, code, a.body["code"], a.body)
	if field != "" {
		require.Equal(t, field, a.body["errors"].([]any)[0].(map[string]any)["field"], a.body)
	}
}

// A job's filter is kept and shown in plain text, so it must not hold what encryption seals.
func TestAFilterBySealedValuesIsRefused(t *testing.T) {
	t.Parallel()
	rules, err := protect.NewRules([]protect.RuleOptions{
		{EventType: "*", Path: "$.payload.customer.email", Search: true}, {EventType: "Order*", Path: "$.metadata.userId"},
	})
	require.NoError(t, err)
	s := newSystem(t, func(set *settings) { set.rules = rules })
	s.append(1)
	ask := func(filter, dryRun string) answer {
		return s.ask(http.MethodPost, "/v1/replays", `{"filter":`+filter+`,"target":{"type":"kafka","topic":"copy"},"reason":"test","dryRun":`+dryRun+`}`)
	}
	for _, dryRun := range []string{"true", "false"} {
		ask(`{"payload":{"customer":{"email":"ann@example.com"}}}`, dryRun).refused(t, 400, "invalid_parameter", "filter.payload")
		ask(`{"payload":{"customer":{"email":{"$in":[1]}},"total":5}}`, dryRun).refused(t, 400, "invalid_parameter", "filter.payload")
		ask(`{"userId":"ann"}`, dryRun).refused(t, 400, "invalid_parameter", "filter.userId")
	}
	require.Equal(t, 200, ask(`{"payload":{"customer":{"id":"c-1"}}}`, "true").status)
	require.Equal(t, 200, ask(`{"payload":{"email":"x"}}`, "true").status)
	list := s.ask(http.MethodGet, "/v1/replays", "")
	require.Empty(t, list.body["items"])
}

// What must not be written to is refused before there is a job.
func TestRefusedTargets(t *testing.T) {
	t.Parallel()
	ask := func(s *system, target string) answer {
		return s.ask(http.MethodPost, "/v1/replays", `{"target":`+target+`,"reason":"test","dryRun":true}`)
	}
	s := newSystem(t)
	s.append(1)
	for target, field := range map[string]string{
		`{"type":"kafka","topic":"orders"}`:                "target.topic", // ingested, by the event store
		`{"type":"kafka","topic":"configured"}`:            "target.topic", // ingested, by the configuration
		`{"type":"kafka","topic":"__consumer_offsets"}`:    "target.topic",
		`{"type":"kafka","topic":"orders.dlq"}`:            "target.topic",
		`{"type":"kafka","topic":"_schemas"}`:              "target.topic",
		`{"type":"file","name":"x.ndjson"}`:                "target.name",
		`{"type":"webhook","url":"https://example.com/x"}`: "target.url",
	} {
		ask(s, target).refused(t, 422, "target_refused", field)
	}
	for target, field := range map[string]string{
		`{"type":"kafka","name":"x"}`:             "target.topic",
		`{"type":"kafka","topic":"x","name":"y"}`: "target.name",
		`{"type":"kafka","topic":"x","batch":5}`:  "target.batch",
		`{"type":"nonsense"}`:                     "target.type",
		`{}`:                                      "target.type",
	} {
		ask(s, target).refused(t, 400, "invalid_parameter", field)
	}
	require.Equal(t, 200, ask(s, `{"type":"kafka","topic":"copy"}`).status)

	listed := newSystem(t, func(set *settings) {
		set.options.Targets = []replay.TargetOptions{{Type: "kafka", Topic: "copy"}, {Type: "kafka", Topic: "orders"}, {Type: "file", Folder: t.TempDir()}}
	})
	listed.append(1)
	require.Equal(t, 200, ask(listed, `{"type":"kafka","topic":"copy"}`).status)
	ask(listed, `{"type":"kafka","topic":"other"}`).refused(t, 422, "target_refused", "target.topic")
	ask(listed, `{"type":"kafka","topic":"orders"}`).refused(t, 422, "target_refused", "target.topic")
	for _, name := range []string{"../x", "a/b", "/x", ".x", "..", `a\\b`} {
		ask(listed, `{"type":"file","name":"`+name+`"}`).refused(t, 422, "target_refused", "target.name")
	}
	missing := s.start(`{"target":{"type":"kafka","topic":"missing"},"reason":"test"}`)
	s.work()
	require.Equal(t, "the topic does not exist", s.until(missing, "failed")["error"])
}

// Many events want their number to be confirmed, as the preview has it.
func TestConfirmCount(t *testing.T) {
	t.Parallel()
	s := newSystem(t)
	s.append(10_001)
	ask := func(more string) answer {
		return s.ask(http.MethodPost, "/v1/replays", `{"target":{"type":"kafka","topic":"copy"},"reason":"test"`+more+`}`)
	}
	ask("").refused(t, 409, "count_mismatch", "confirmCount")
	preview := ask(`,"dryRun":true`)
	require.Equal(t, []any{json.Number("10001"), json.Number("10000")}, []any{preview.body["total"], preview.body["until"]})
	first := preview.body["first"].(map[string]any)
	require.Equal(t, []any{json.Number("0"), "OrderCreated"}, []any{first["position"], first["eventType"]})
	require.NotContains(t, first, "payload")
	s.append(1)
	ask(`,"confirmCount":10001`).refused(t, 409, "count_mismatch", "confirmCount")
	ask(`,"confirmCount":10000,"until":10000`).refused(t, 409, "count_mismatch", "confirmCount")
	ask(`,"until":20000,"confirmCount":1`).refused(t, 409, "position_beyond_end", "until")
	require.Equal(t, 201, ask(`,"confirmCount":10001,"until":10000`).status)
	require.Equal(t, 201, ask(`,"until":9999`).status)
	ask(`,"speed":{"maxPerSecond":1,"timeScale":1}`).refused(t, 400, "invalid_parameter", "speed")
	ask(`,"filter":{"from":"2026-03-02T00:00:00Z","to":"2026-03-01T00:00:00Z"}`).refused(t, 400, "invalid_parameter", "filter.to")
	ask(`,"filtre":{}`).refused(t, 400, "invalid_parameter", "filtre")
}

// A job sends what its creator may see, and shows itself to those alone who may see as much.
func TestReplaysKeepToScopes(t *testing.T) {
	t.Parallel()
	role := func(name string, types ...string) access.RoleOptions {
		return access.RoleOptions{Name: name, Permissions: []string{"events:read", "replay:read", "replay:write"}, Scope: access.ScopeOptions{EventTypes: types}}
	}
	s := newSystem(t, func(set *settings) {
		set.access.Roles = []access.RoleOptions{role("paid", "*Paid"), role("created", "*Created"), {Name: "blind", Permissions: []string{"replay:write"}}}
	})
	s.append(100)
	body := `{"target":{"type":"kafka","topic":"copy"},"reason":"test","dryRun":%t}`
	preview := s.ask(http.MethodPost, "/v1/replays", fmt.Sprintf(body, true), "paid")
	require.Equal(t, json.Number("50"), preview.body["total"])
	require.Equal(t, map[string]any{"OrderPaid": json.Number("50")}, preview.body["types"])
	require.Equal(t, json.Number("1"), preview.body["first"].(map[string]any)["position"])
	s.ask(http.MethodPost, "/v1/replays", fmt.Sprintf(body, true), "blind").refused(t, 403, "forbidden", "")

	made := s.ask(http.MethodPost, "/v1/replays", fmt.Sprintf(body, false), "paid")
	require.Equal(t, 201, made.status, made.body)
	id := made.body["id"].(string)
	s.work()
	s.until(id, "completed")
	records := s.consume("copy", 50)
	require.Len(t, records, 50)
	for _, r := range records {
		require.Equal(t, "OrderPaid", decoded(t, r.Value).Type)
	}
	for roles, status := range map[string]int{"paid": 200, "operator": 200, "created": 404} {
		for _, path := range []string{"", "/failures"} {
			require.Equal(t, status, s.ask(http.MethodGet, "/v1/replays/"+id+path, "", roles).status, roles)
		}
		list := s.ask(http.MethodGet, "/v1/replays", "", roles)
		require.Len(t, list.body["items"], map[int]int{200: 1, 404: 0}[status], roles)
		if status == 404 {
			s.ask(http.MethodPost, "/v1/replays/"+id+"/cancel", "", roles).refused(t, 404, "not_found", "")
		}
	}
}

// Every operation wants its permission.
func TestReplayPermissions(t *testing.T) {
	t.Parallel()
	s := newSystem(t)
	spec, err := httpapitest.Specification()
	require.NoError(t, err)
	policy := access.NewPolicy(access.Options{})
	n := 0
	for path, item := range spec.Doc.Paths.Map() {
		if !strings.HasPrefix(path, "/v1/replays") {
			continue
		}
		for method, op := range item.Operations() {
			n++
			path := strings.ReplaceAll(path, "{id}", "7f3c1a52-90d4-4c3e-8a6b-0f5d6a7b8c9d")
			permission := access.Permission(op.Extensions["x-permission"].(string))
			for _, role := range []string{"viewer", "analyst", "auditor", "operator", "admin", "root"} {
				got := s.ask(method, path, exampleBody(t, op), role)
				require.Less(t, got.status, 500)
				require.Equal(t, !policy.Grant([]string{role}).Has(permission), got.status == 403, "%s %s as %s", method, path, role)
			}
		}
	}
	require.Equal(t, 8, n)
}

// exampleBody is an example of an operation's body.
func exampleBody(t *testing.T, op *openapi3.Operation) string {
	t.Helper()
	if op.RequestBody == nil {
		return ""
	}
	for _, example := range op.RequestBody.Value.Content["application/json"].Examples {
		text, err := json.Marshal(example.Value.Value)
		require.NoError(t, err)
		return string(text)
	}
	t.Fatal("no example")
	return ""
}

// The examples of the specification are requests that can be sent, and answers of their shapes.
func TestTheSpecificationsReplays(t *testing.T) {
	t.Parallel()
	s := newSystem(t, func(set *settings) {
		set.options.Targets = []replay.TargetOptions{{Type: "kafka", Topic: "orders-copy"}}
	})
	s.append(3)
	spec, err := httpapitest.Specification()
	require.NoError(t, err)
	op := spec.Doc.Paths.Value("/v1/replays").Post
	for name, example := range op.RequestBody.Value.Content["application/json"].Examples {
		body := example.Value.Value.(map[string]any)
		delete(body, "confirmCount") // of another history
		text, err := json.Marshal(body)
		require.NoError(t, err)
		got := s.ask(http.MethodPost, "/v1/replays", string(text))
		require.Equal(t, map[string]int{"preview": 200, "job": 201}[name], got.status, got.body)
		requireShape(t, op, got)
	}
	for path, item := range spec.Doc.Paths.Map() {
		for _, op := range item.Operations() {
			if strings.HasPrefix(path, "/v1/replays") {
				for status, response := range op.Responses.Map() {
					if content := response.Value.Content["application/json"]; content != nil {
						require.NoError(t, content.Schema.Value.VisitJSON(content.Example), "%s %s", path, status)
					}
				}
			}
		}
	}
}

func requireShape(t *testing.T, op *openapi3.Operation, got answer) {
	t.Helper()
	text, err := json.Marshal(got.body)
	require.NoError(t, err)
	var plain any
	require.NoError(t, json.Unmarshal(text, &plain))
	require.NoError(t, op.Responses.Status(got.status).Value.Content["application/json"].Schema.Value.VisitJSON(plain))
}

// A stream of progress goes on until the job ends.
func TestProgressIsStreamed(t *testing.T) {
	t.Parallel()
	s := newSystem(t)
	s.append(200)
	id := s.start(`{"target":{"type":"kafka","topic":"copy"},"reason":"test","speed":{"maxPerSecond":200}}`)
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, s.url+"/v1/replays/"+id, nil)
	require.NoError(t, err)
	r.Header.Set("Authorization", "Bearer "+s.issuer.Token(map[string]any{"roles": []string{"operator"}}))
	r.Header.Set("Accept", "text/event-stream")
	response, err := s.client.Do(r)
	require.NoError(t, err)
	defer func() { _ = response.Body.Close() }()
	require.Equal(t, "text/event-stream", response.Header.Get("Content-Type"))
	s.work()
	var states []string
	last := int64(-1)
	for lines := bufio.NewScanner(response.Body); lines.Scan(); { // to its end
		data, ok := strings.CutPrefix(lines.Text(), "data: ")
		if !ok {
			continue
		}
		var job struct {
			State string
			Sent  int64
		}
		require.NoError(t, json.Unmarshal([]byte(data), &job))
		require.GreaterOrEqual(t, job.Sent, last)
		last = job.Sent
		states = append(states, job.State)
	}
	require.Equal(t, []any{"pending", "completed", int64(200)}, []any{states[0], states[len(states)-1], last})
}

// A replayed topic makes the same events in another store, and no event twice in its own.
func TestAReplayedTopicIsTheSameHistory(t *testing.T) {
	t.Parallel()
	s := newSystem(t)
	s.append(200, hostile()...)
	s.work()
	all := s.all()
	s.until(s.start(`{"target":{"type":"kafka","topic":"copy"},"reason":"test"}`), "completed")
	records := s.consume("copy", len(all))
	second := newSystem(t)
	var values []string
	for _, r := range records {
		values = append(values, string(r.Value))
	}
	second.append(0, values...)
	copied := map[string]string{}
	for _, e := range second.all() {
		copied[e.ID.String()] = eightMembers(t, e)
	}
	require.Len(t, copied, len(all))
	for _, e := range all {
		require.Equal(t, eightMembers(t, e), copied[e.ID.String()])
	}
	s.append(0, values...)
	require.Len(t, s.all(), len(all), "in its own store all are duplicates")
}

// eightMembers are an event's own members in canonical form.
func eightMembers(t *testing.T, e event.Stored) string {
	t.Helper()
	return string((&event.Stored{Event: e.Event}).Canonical())
}

func hostile() []string {
	deep := strings.Repeat("[", 62) + strings.Repeat("]", 62)
	var values []string
	for i, more := range []string{
		`"x":` + deep, `"metadata":{"extensions":{"a":1}},"b":1e20`, `"metadata":{"extensions":{"payload":1,"a":2}},"b":{}`,
		`"metadata":{"extensions":null}`, `"metadata":{"extensions":[]}`, `"metadata":{"audit":1e999}`, `"":0,"\u0001":{"\"":[]}`,
	} {
		values = append(values, fmt.Sprintf(`{"eventId":"0190d3f1-7c3a-7b1e-9c55-f%011x","eventType":"注文 \u001f\"","aggregateId":"h/%d","aggregateType":"H","timestamp":"2026-03-01T09:30:00Z","version":2e9,"payload":[-0,1E-7,123456789012345678901234567890],%s}`, i, i, more))
	}
	for i := range values {
		values[i] = strings.Replace(values[i], `\u001f`, "", 1) // no control characters in names
	}
	return values
}

func TestSpeed(t *testing.T) {
	t.Parallel()
	s := newSystem(t)
	s.append(30) // a second apart
	s.work()
	for name, speed := range map[string]string{"a rate": `{"maxPerSecond":20}`, "the rhythm × 20": `{"timeScale":20}`} {
		begun := time.Now()
		s.until(s.start(`{"target":{"type":"kafka","topic":"copy"},"reason":"test","speed":`+speed+`}`), "completed")
		require.GreaterOrEqual(t, time.Since(begun), 29*time.Second/20, name)
	}
}
