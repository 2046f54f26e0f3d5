package cmd

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"
)

const oneLetter = `{"id":17,"topic":"orders","partition":3,"offset":5121,"reason":"invalid_field","field":"payload.qty","detail":"must be a number",
	"key":"b3JkZXItMQ==","value":"e30=","valueLength":2,"valueSha256":"00","headers":[],"receivedAt":"2026-03-01T09:30:00.412345Z","status":"pending",
	"retry":{"redrive":1,"at":"2026-03-02T09:30:00.000000Z","reason":"too_deep","field":"payload","detail":"is deep"},
	"decoded":{"text":"{\"ä\":1,\n \"payload\":{\"qty\":\"x\"}}","place":{"from":28,"to":31,"line":2,"column":20}}}`

// lettersAPI answers like the API and notes the bodies.
func lettersAPI(t *testing.T, bodies *[]map[string]any) (args []string) {
	t.Helper()
	var asked atomic.Int64
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		body := map[string]any{}
		if r.Method == http.MethodPost {
			if err := json.NewDecoder(r.Body).Decode(&body); err != nil {
				t.Error(err)
			}
			*bodies = append(*bodies, body)
		}
		filter, _ := body["filter"].(map[string]any)
		more := filter != nil && filter["after"] == nil
		switch r.Method + " " + r.URL.Path {
		case "GET /v1/dead-letters":
			fmt.Fprintf(w, `{"items":[%s],"nextCursor":null}`, oneLetter)
		case "GET /v1/dead-letters/17":
			fmt.Fprint(w, oneLetter)
		case "POST /v1/dead-letters/redrive":
			redrive := "null"
			if body["dryRun"] == false {
				redrive = fmt.Sprint(asked.Add(1))
				w.WriteHeader(http.StatusAccepted)
			}
			fmt.Fprintf(w, `{"redrive":%s,"total":2,"reasons":{"too_deep":2},"more":%t,"last":9}`, redrive, more)
		case "POST /v1/dead-letters/dismiss":
			fmt.Fprintf(w, `{"redrive":null,"total":2,"reasons":{"too_deep":2},"more":%t,"last":9}`, more)
		case "GET /v1/dead-letters/redrives/1":
			fmt.Fprint(w, `{"id":1,"state":"completed","total":2,"stored":2,"duplicates":0,"failed":0,"decided":0,"failures":{}}`)
		case "GET /v1/dead-letters/redrives/2":
			fmt.Fprint(w, `{"id":2,"state":"completed","total":2,"stored":0,"duplicates":0,"failed":1,"decided":1,"failures":{"too_deep":1}}`)
		default:
			t.Errorf("%s %s", r.Method, r.URL)
		}
	}))
	t.Cleanup(s.Close)
	return []string{"--client.url", s.URL, "--client.token", "s3cret"}
}

func TestDeadLettersAreListedAndShown(t *testing.T) {
	api := lettersAPI(t, nil)
	out, errs, status := call(t, append(api, "dead-letters", "list")...)
	require.Equal(t, 0, status, errs)
	require.Regexp(t, `17\s+2026-03-01T09:30:00.412345Z\s+orders/3 5121\s+failed again\s+invalid_field\s+payload.qty must be a number\s+order-1`, out)
	out, errs, status = call(t, append(api, "dead-letters", "show", "17")...)
	require.Equal(t, 0, status, errs)
	require.Contains(t, out, "{\"ä\":1,\n \"payload\":{\"qty\":\"x\"}}\n                   ^^^ payload.qty must be a number\n")
	require.Contains(t, out, "failed again: too_deep payload is deep")
	out, _, _ = call(t, append(api, "dead-letters", "show", "17", "--output", "json")...)
	require.Contains(t, out, `"reason": "invalid_field"`)
	_, errs, status = call(t, append(api, "dead-letters", "show", "x")...)
	require.Equal(t, 2, status, errs)
	_, errs, status = call(t, append(api, "dead-letters", "list", "--topic", "")...)
	require.Equal(t, 2, status, errs)
}

func TestRedriveGoesOnUntilAllAreTried(t *testing.T) {
	var bodies []map[string]any
	api := lettersAPI(t, &bodies)
	out, errs, status := call(t, append(api, "dead-letters", "redrive", "--reason", "too_deep", "--why", "relaxed", "--yes")...)
	require.Equal(t, 1, status, "one failed again")
	require.Contains(t, errs, "the first 2 dead letters: too_deep 2")
	require.Contains(t, out, "2 became events, 0 were stored before, 1 failed again: too_deep 1, 1 were decided by others")
	require.Len(t, bodies, 3, "a preview and two requests")
	require.Equal(t, map[string]any{"reason": "too_deep", "after": 9.0}, bodies[2]["filter"])

	bodies = nil
	file := filepath.Join(t.TempDir(), "fixed.json")
	require.NoError(t, os.WriteFile(file, []byte("{}"), 0o600))
	_, errs, status = call(t, append(api, "dead-letters", "redrive", "17", "--value", file, "--why", "fixed", "--yes", "--no-wait")...)
	require.Equal(t, 0, status, errs)
	require.Equal(t, "e30=", bodies[1]["value"])
	require.Equal(t, []any{17.0}, bodies[1]["ids"])

	bodies = nil
	_, _, status = call(t, append(api, "dead-letters", "dismiss", "--all", "--why", "noise", "--dry-run")...)
	require.Equal(t, 0, status)
	require.Len(t, bodies, 1)
	out, errs, status = call(t, append(api, "dead-letters", "dismiss", "--all", "--why", "noise", "--yes")...)
	require.Equal(t, 0, status, errs)
	require.Contains(t, out, "4 dead letters dismissed")
	for _, wrong := range [][]string{
		{"redrive", "17"}, {"redrive", "--why", "x"}, {"redrive", "17", "--all", "--why", "x"}, {"redrive", "017", "--why", "x"},
		{"redrive", "17", "18", "--value", file, "--why", "x"}, {"dismiss", "17", "--why", "x"},
	} {
		_, errs, status = call(t, append(append(api, "dead-letters"), wrong...)...)
		require.Equal(t, 2, status, "%v: %s", wrong, errs)
	}
}
