package cmd

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/stretchr/testify/require"
)

const replayID = "7f3c1a52-90d4-4c3e-8a6b-0f5d6a7b8c9d"

// replayAPI answers like the API with one replay, and notes the bodies of requests.
func replayAPI(t *testing.T, end string, asked *[]string) {
	t.Helper()
	job := func(state string, sent int) string {
		return fmt.Sprintf(`{"id":%q,"state":%q,"reason":"index\u001b[2J","total":4,"sent":%d,"failed":0,"waiting":0,"rate":2,"estimatedEnd":null,"createdBy":"ann","createdAt":"2026-03-02T08:00:00.000000Z","error":""}`,
			replayID, state, sent)
	}
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		*asked = append(*asked, r.Method+" "+r.URL.Path+" "+string(body))
		w.Header().Set("Content-Type", "application/json")
		switch {
		case r.Header.Get("Accept") == "text/event-stream, application/problem+json":
			w.Header().Set("Content-Type", "text/event-stream")
			fmt.Fprintf(w, "data: %s\n\n:\ndata: %s\n\n", job("running", 2), job(end, 4))
		case r.Method == http.MethodGet && r.URL.Path == "/v1/replays":
			fmt.Fprintf(w, `{"items":[%s],"nextCursor":null}`, job("running", 2))
		case r.URL.Path == "/v1/replays" && string(body) != "" && len(*asked) == 1 && end == "preview":
			fmt.Fprint(w, `{"total":12044,"bytes":5000,"from":"2026-03-01T09:30:00.000000Z","to":"2026-03-01T10:30:00.000000Z","types":{"B":44,"A":12000},"sealed":0,"erased":0,"until":20000,"estimatedSeconds":61.2}`)
		case r.URL.Path == "/v1/replays":
			w.WriteHeader(http.StatusCreated)
			fmt.Fprint(w, job("pending", 0))
		default:
			fmt.Fprint(w, job("paused", 2))
		}
	}))
	t.Cleanup(s.Close)
	t.Setenv("AUDITTRAIL_CLIENT_URL", s.URL)
	t.Setenv("AUDITTRAIL_CLIENT_TOKEN", "s3cret")
}

func TestReplayPreview(t *testing.T) {
	var asked []string
	replayAPI(t, "preview", &asked)
	stdout, stderr, status := call(t, "replay", "preview", "--to-topic", "copy", "--event-type", "A", "--payload", `{"n":1.50}`)
	require.Equal(t, statusDone, status, stderr)
	require.Equal(t, []string{`POST /v1/replays {"dryRun":true,"filter":{"eventType":["A"],"payload":{"n":1.50}},"reason":"preview","target":{"topic":"copy","type":"kafka"}}`}, asked)
	require.Contains(t, stdout, "12,044 events, about 5 KiB, in about 1m1s\n")
	require.Contains(t, stdout, "12,000  A\n          44  B\n")
	require.Contains(t, stdout, "--until 20000 --confirm 12044")
}

func TestReplayStart(t *testing.T) {
	var asked []string
	replayAPI(t, "completed", &asked)
	stdout, stderr, status := call(t, "replay", "start", "--to-webhook", "https://h/x", "--batch", "5", "--max-per-second", "0.5", "--until", "0", "--confirm", "4", "--reason", "r", "--follow")
	require.Equal(t, statusDone, status, stderr)
	require.Equal(t, `POST /v1/replays {"confirmCount":4,"dryRun":false,"reason":"r","speed":{"maxPerSecond":0.5},"target":{"batch":5,"type":"webhook","url":"https://h/x"},"until":0}`, asked[0])
	require.Contains(t, stdout, replayID)
	asked = nil
	_, _, status = call(t, "replay", "start", "--to-topic", "copy", "--sealed", "placeholder", "--reason", "r")
	require.Equal(t, statusDone, status)
	require.Equal(t, `POST /v1/replays {"dryRun":false,"reason":"r","sealed":"placeholder","target":{"topic":"copy","type":"kafka"}}`, asked[0])
	_, stderr, status = call(t, "replay", "start", "--to-topic", "copy", "--sealed", "open", "--reason", "r")
	require.Equal(t, statusUsage, status)
	require.Contains(t, stderr, "--sealed must be placeholder")
	require.Contains(t, stdout, "[##############################] 100%  4 of 4 events")
	require.NotContains(t, stdout, "\x1b")
}

func TestReplayFollowTellsOfAFailure(t *testing.T) {
	var asked []string
	replayAPI(t, "failed", &asked)
	_, stderr, status := call(t, "replay", "show", replayID, "--follow")
	require.Equal(t, statusFailed, status)
	require.Contains(t, stderr, "is failed")
}

func TestReplayListAndActions(t *testing.T) {
	var asked []string
	replayAPI(t, "completed", &asked)
	stdout, _, status := call(t, "replay", "list")
	require.Equal(t, statusDone, status)
	require.Contains(t, stdout, "running  2     4")
	for _, action := range []string{"pause", "resume", "cancel", "retry"} {
		stdout, _, status = call(t, "replay", action, replayID, "--output", "json")
		require.Equal(t, statusDone, status)
		require.Contains(t, stdout, `"state": "paused"`)
		require.Equal(t, "POST /v1/replays/"+replayID+"/"+action+" ", asked[len(asked)-1])
	}
}

func TestReplayWrongUsage(t *testing.T) {
	for _, args := range [][]string{
		{"start", "--to-topic", "x"}, {"start", "--reason", "r"}, {"start", "--reason", "r", "--to-topic", "x", "--to-file", "y"},
		{"preview", "--to-topic", "x", "--max-per-second", "1", "--time-scale", "2"}, {"preview", "--to-topic", "x", "--event-type", ""},
		{"preview", "--to-topic", "x", "--payload", "{"}, {"show", "x"}, {"pause"}, {"nonsense"},
	} {
		_, _, status := call(t, append([]string{"replay"}, args...)...)
		require.Equal(t, statusUsage, status, args)
	}
}
