package query_test

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"audittrail/modules/access"
	"audittrail/modules/event"
	"audittrail/modules/httpapi/httpapitest"
	"audittrail/modules/store"
	"audittrail/platform/errs"
)

// post sends a body as somebody with these roles; as the tests' usual caller without any.
func (a *api) post(t *testing.T, path string, body any, roles ...string) answer {
	t.Helper()
	text, err := json.Marshal(body)
	require.NoError(t, err)
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, a.url+path, strings.NewReader(string(text)))
	require.NoError(t, err)
	claims := map[string]any{}
	if roles != nil {
		claims["roles"], claims["sub"] = roles, strings.Join(roles, "+")
	}
	r.Header.Set("Authorization", "Bearer "+a.issuer.Token(claims))
	r.Header.Set("Content-Type", "application/json")
	return a.send(t, r)
}

// execute changes the database as its owner.
func (a *api) execute(t *testing.T, sql string, args ...any) {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), a.database)
	require.NoError(t, err)
	defer conn.Close(t.Context()) //nolint:errcheck // the test is over
	_, err = conn.Exec(t.Context(), sql, args...)
	require.NoError(t, err)
}

// The specification's examples of the paths that decide, in an order in which they can be.
func TestTheSpecificationsDecisions(t *testing.T) {
	t.Parallel()
	spec, err := httpapitest.Specification()
	require.NoError(t, err)
	for _, path := range []string{"/v1/dead-letters/redrive", "/v1/dead-letters/dismiss"} {
		a := newAPI(t)
		a.append(t, `{"hello":"world"}`)
		op := spec.Doc.Paths.Value(path).Post
		for _, name := range []string{"preview", "redrive", "dismiss"} {
			example := op.RequestBody.Value.Content["application/json"].Examples[name]
			if example == nil {
				continue
			}
			got := a.post(t, path, example.Value.Value)
			status := http.StatusOK
			if name == "redrive" {
				status = http.StatusAccepted
			}
			require.Equal(t, status, got.status, string(got.body))
			requireShown(t, op.Responses.Status(status).Value.Content["application/json"], got)
		}
		if path == "/v1/dead-letters/redrive" {
			get := spec.Doc.Paths.Value("/v1/dead-letters/redrives/{id}").Get
			got := a.get(t, "/v1/dead-letters/redrives/1")
			require.Equal(t, http.StatusOK, got.status)
			var shown struct{ State, Reason string }
			got.decode(t, &shown)
			require.Equal(t, "pending", shown.State)
			require.NotNil(t, get)
			a.get(t, "/v1/dead-letters/redrives/2").refused(t, http.StatusNotFound, "not_found", "")
		}
	}
}

func TestDeadLettersByEveryFilter(t *testing.T) {
	t.Parallel()
	a := newAPI(t)
	a.appendWith(t, []byte("key-ä-1"), nil, `{"hello":1}`, `no`)
	a.appendWith(t, nil, nil, strings.Replace(order(1, "Order", "o"), `"payload":{`, `"payload":{"a":{"$sealed":1},`, 1))
	ids := func(query string) []any { return a.list(t, "/v1/dead-letters?"+query).all("id") }
	for query, want := range map[string][]any{
		"":                                      {3., 2., 1.},
		"topic=orders":                          {3., 2., 1.},
		"reason=malformed_json":                 {2.},
		"field=eventId":                         {1.},
		"field=payload":                         {3.},
		"field=pay":                             {},
		"key=" + url.QueryEscape("y-ä"):         {2., 1.},
		"key=order":                             {},
		"from=2020-01-01T00:00:00Z":             {3., 2., 1.},
		"to=2020-01-01T00:00:00Z":               {},
		"status=pending&reason=missing_field":   {1.},
		"status=redriven":                       {},
		"status=dismissed&to=2020-01-01T00:00Z": nil,
	} {
		if want == nil {
			a.get(t, "/v1/dead-letters?"+query).refused(t, http.StatusBadRequest, "invalid_parameter", "to")
			continue
		}
		require.Equal(t, want, ids(query), query)
	}
	require.Equal(t, http.StatusOK, a.post(t, "/v1/dead-letters/dismiss", map[string]any{"ids": []int{2}, "reason": "noise"}).status)
	require.Equal(t, []any{3., 1.}, ids("status=pending"))
	require.Equal(t, []any{2.}, ids("status=dismissed"))
	item := a.list(t, "/v1/dead-letters?status=dismissed").Items[0]
	require.Equal(t, "dismissed", item["status"])
	fate, _ := item["fate"].(map[string]any)
	require.Equal(t, "noise", fate["reason"])
	a.post(t, "/v1/dead-letters/dismiss", map[string]any{"ids": []int{1, 2}, "reason": "again"}).refused(t, http.StatusConflict, "already_decided", "ids")
	a.post(t, "/v1/dead-letters/redrive", map[string]any{"ids": []int{2}, "reason": "again"}).refused(t, http.StatusConflict, "already_decided", "ids")
	a.post(t, "/v1/dead-letters/redrive", map[string]any{"ids": []int{99}, "reason": "again"}).refused(t, http.StatusNotFound, "not_found", "ids")
	a.post(t, "/v1/dead-letters/redrive", map[string]any{"reason": "all?"}).refused(t, http.StatusBadRequest, "invalid_parameter", "ids")
	a.post(t, "/v1/dead-letters/redrive", map[string]any{"ids": []int{1}, "reason": " "}).refused(t, http.StatusBadRequest, "invalid_parameter", "reason")
}

func TestADeadLetterShowsWhereItFailed(t *testing.T) {
	t.Parallel()
	a := newAPI(t)
	a.append(t, "{\n  \"eventId\": \"ä\", \"eventType\": \"E\"}", "{\"a\":1,\n x}", "\xff\xfe")
	type shown struct {
		Decoded *struct {
			Text  string
			Place *struct{ From, To, Line, Column int }
		}
	}
	get := func(id int) (s shown) {
		a.get(t, fmt.Sprintf("/v1/dead-letters/%d", id)).decode(t, &s)
		return s
	}
	one := get(1).Decoded
	require.Equal(t, `"ä"`, one.Text[one.Place.From:one.Place.To])
	require.Equal(t, []int{2, 14}, []int{one.Place.Line, one.Place.Column})
	two := get(2).Decoded
	require.Equal(t, "x", two.Text[two.Place.From:two.Place.To])
	require.Equal(t, 2, two.Place.Line)
	require.Nil(t, get(3).Decoded)
	r := a.request(t, "/v1/dead-letters/1")
	r.Header.Set("Authorization", "Bearer "+a.issuer.Token(map[string]any{"roles": []string{"operator"}}))
	var hidden map[string]any
	a.send(t, r).decode(t, &hidden)
	require.NotContains(t, hidden, "decoded", "it wants pii:read")
	require.Nil(t, hidden["value"])
}

// What a redrive's caller may do is what each permission says, within the scope of each.
func TestDecisionsKeepToPermissionsAndScopes(t *testing.T) {
	t.Parallel()
	wrong := func(n int, kind string) string {
		return strings.Replace(order(n, kind, "o"), `"version":1`, `"version":-1`, 1)
	}
	orders := access.ScopeOptions{AggregateTypes: []string{"Order"}}
	a := withRoles(t,
		access.RoleOptions{Name: "orders", Permissions: []string{"deadletters:read", "deadletters:write"}, Scope: orders},
		access.RoleOptions{Name: "editor", Permissions: []string{"deadletters:read", "deadletters:write", "deadletters:edit", "pii:read"}, Scope: orders},
		access.RoleOptions{Name: "blind", Permissions: []string{"deadletters:write", "deadletters:edit"}})
	a.append(t, wrong(1, "Order"), wrong(2, "Payment"), "unreadable", wrong(3, "Order"))
	redrive := func(role string, body map[string]any) answer {
		body["reason"] = "a test"
		return a.post(t, "/v1/dead-letters/redrive", body, role)
	}
	ids := func(id ...int) map[string]any { return map[string]any{"ids": id} }
	redrive("auditor", ids(1)).refused(t, http.StatusForbidden, "forbidden", "")
	redrive("orders", ids(1, 2)).refused(t, http.StatusNotFound, "not_found", "ids")
	redrive("orders", ids(3)).refused(t, http.StatusNotFound, "not_found", "ids")

	var preview struct {
		Total   int
		Reasons map[string]int
		Last    int
	}
	redrive("orders", map[string]any{"filter": map[string]any{}, "dryRun": true}).decode(t, &preview)
	require.Equal(t, 2, preview.Total)
	require.Equal(t, 4, preview.Last)
	require.Equal(t, map[string]int{"invalid_field": 2}, preview.Reasons)
	redrive("operator", map[string]any{"filter": map[string]any{}, "dryRun": true}).decode(t, &preview)
	require.Equal(t, 4, preview.Total)

	edit := func(kind string) map[string]any {
		return map[string]any{"ids": []int{1}, "value": base64.StdEncoding.EncodeToString([]byte(order(1, kind, "o")))}
	}
	redrive("orders", edit("Order")).refused(t, http.StatusForbidden, "forbidden", "")
	redrive("blind", edit("Order")).refused(t, http.StatusForbidden, "forbidden", "")
	redrive("editor", edit("Payment")).refused(t, http.StatusForbidden, "forbidden", "value")
	many := edit("Order")
	many["ids"] = []int{1, 4}
	redrive("editor", many).refused(t, http.StatusBadRequest, "invalid_parameter", "value")
	require.Equal(t, http.StatusAccepted, redrive("editor", edit("Order")).status)

	as := func(role, path string) answer {
		r := a.request(t, path)
		r.Header.Set("Authorization", "Bearer "+a.issuer.Token(map[string]any{"roles": []string{role}, "sub": role}))
		return a.send(t, r)
	}
	require.Equal(t, http.StatusOK, as("editor", "/v1/dead-letters/redrives/1").status)
	require.Equal(t, http.StatusOK, as("operator", "/v1/dead-letters/redrives/1").status)
	as("orders", "/v1/dead-letters/redrives/1").refused(t, http.StatusNotFound, "not_found", "")

	var done struct{ Total int }
	a.post(t, "/v1/dead-letters/dismiss", map[string]any{"filter": map[string]any{}, "reason": "x"}, "orders").decode(t, &done)
	require.Equal(t, 2, done.Total, "the others are none for this caller")
	require.Len(t, a.list(t, "/v1/dead-letters?status=pending").Items, 2)
}

func TestAValueThatIsNotKept(t *testing.T) {
	t.Parallel()
	notKept := errs.New(errs.Conflict, "value_not_kept", "Kafka does not have the value of dead letter 1 any more").InField("ids")
	url := newAPI(t).database
	a := newAPIOn(t, url, startAPI(t, apiPool(t, url), func(s *settings) {
		s.kept = func(_ context.Context, letters []store.DeadLetter) error {
			if letters[0].Reason == event.TooLarge {
				return notKept
			}
			return nil
		}
	}))
	a.append(t, order(1, "Order", "x")+strings.Repeat(" ", 2<<20))
	a.post(t, "/v1/dead-letters/redrive", map[string]any{"ids": []int{1}, "reason": "x"}).refused(t, http.StatusConflict, "value_not_kept", "ids")
}

// A fate and a redrive that failed are shown.
func TestADeadLetterShowsWhatBecameOfIt(t *testing.T) {
	t.Parallel()
	a := newAPI(t)
	a.append(t, `{"a":1}`, `{"b":1}`)
	require.Equal(t, http.StatusAccepted, a.post(t, "/v1/dead-letters/redrive", map[string]any{"ids": []int{1, 2}, "reason": "relaxed"}).status)
	a.execute(t, `UPDATE redrive_items SET outcome = 'failed', tried_at = now(), reason = 'too_deep', field = 'payload.a', detail = 'deep' WHERE dead_letter_id = 1`)
	a.execute(t, fmt.Sprintf(`INSERT INTO dead_letter_fates (dead_letter_id, request, decided_at, event_id, fate, decided_by, reason) VALUES (2, 1, now(), '%s', 'redriven', 'ann', 'relaxed')`, id(7)))
	items := a.list(t, "/v1/dead-letters").Items
	require.Equal(t, "redriven", items[0]["status"])
	fate, _ := items[0]["fate"].(map[string]any)
	require.Equal(t, id(7), fate["eventId"])
	require.Equal(t, false, fate["stored"])
	require.Equal(t, "pending", items[1]["status"])
	retry, _ := items[1]["retry"].(map[string]any)
	require.Equal(t, "payload.a", retry["field"])
	var state struct {
		Failed   int
		Failures map[string]int
	}
	a.get(t, "/v1/dead-letters/redrives/1").decode(t, &state)
	require.Equal(t, 1, state.Failed)
	require.Equal(t, map[string]int{"too_deep": 1}, state.Failures)
}
