package client

import (
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// cutFeed is an API with a feed of total events whose streams end anywhere, at any byte, or not at all.
func cutFeed(t *testing.T, total int64) http.HandlerFunc {
	random := rand.New(rand.NewPCG(1, 2))
	return func(w http.ResponseWriter, r *http.Request) {
		assert.Equal(t, "/v1/feed", r.URL.Path)
		assert.Equal(t, "text/event-stream, application/problem+json", r.Header.Get("Accept"))
		last, err := strconv.ParseInt(r.Header.Get("Last-Event-ID"), 10, 64)
		assert.NoError(t, err)
		switch random.IntN(5) {
		case 0:
			answer(w, 503, "application/problem+json", `{"code":"unavailable"}`)
			return
		case 1:
			answer(w, 502, "text/html", "a proxy's")
			return
		}
		var body strings.Builder
		body.WriteString("retry: 1000\n:\nevent: message\n\n")
		for n := last + 1; n < total; n++ {
			if n%3 == 2 { // does not fit
				fmt.Fprintf(&body, ":\nid: %d\n\n", n)
				continue
			}
			fmt.Fprintf(&body, "id:%d\r\ndata: {\"n\": %d}\r\n\r\n", n, n)
		}
		w.Header().Set("Content-Type", "text/event-stream")
		sent := body.String()
		_, _ = io.WriteString(w, sent[:random.IntN(len(sent)+1)])
		if random.IntN(2) == 0 {
			_ = http.NewResponseController(w).Flush()
			panic(http.ErrAbortHandler)
		}
	}
}

// Wherever streams are cut, a follower gets each event once, in order.
func TestFollowGoesOnWhereItWas(t *testing.T) {
	const total = 200
	synctest.Test(t, func(t *testing.T) {
		h := cutFeed(t, total)
		first := true
		c := servePipes(t, func(w http.ResponseWriter, r *http.Request) {
			if first { // one that is refused in the first place ends it
				first = false
				answer(w, 200, "text/event-stream", "")
				return
			}
			h(w, r)
		})
		next := int64(0)
		for event, err := range c.Follow(t.Context(), nil, -1) {
			require.NoError(t, err)
			if next%3 == 2 {
				next++
			}
			require.Equal(t, next, event.Position)
			require.JSONEq(t, fmt.Sprintf(`{"n":%d}`, next), string(event.JSON))
			if next++; next >= total-1 {
				break
			}
		}
		require.GreaterOrEqual(t, next, int64(total-1))
	})
}

func TestFollowEndsByAnError(t *testing.T) {
	const kind = "text/event-stream"
	for name, c := range map[string]struct {
		status           int
		kind, body, want string
	}{
		"not the API":     {200, "text/html", "<html>", "is client.url right?"},
		"away at first":   {503, "application/problem+json", `{"code":"unavailable"}`, "503 unavailable"},
		"no token":        {401, "application/problem+json", `{"code":"token_expired"}`, "401 token_expired"},
		"beyond the end":  {409, "application/problem+json", `{"code":"position_beyond_end"}`, "409 position_beyond_end"},
		"no id":           {200, kind, "data: {}\n\n", "no position"},
		"an id of others": {200, kind, "id: abc\ndata: {}\n\n", "no position"},
		"an event twice":  {200, kind, "id: 7\ndata: {}\n\n", "position 7 after 7"},
		"no JSON":         {200, kind, "id: 8\ndata: {\n\n", "no JSON object"},
		"no object":       {200, kind, "id: 8\ndata: 8\n\n", "no JSON object"},
		"a line for ever": {200, kind, "data: " + strings.Repeat("x", maxFeedLine), "longer than"},
	} {
		t.Run(name, func(t *testing.T) {
			api := serve(t, func(w http.ResponseWriter, _ *http.Request) { answer(w, c.status, c.kind, c.body) })
			var errs []error
			for event, err := range api.Follow(t.Context(), nil, 7) {
				assert.Zero(t, event)
				errs = append(errs, err)
			}
			require.Len(t, errs, 1)
			require.ErrorContains(t, errs[0], c.want)
		})
	}
}

// A stream that is silent for too long is begun again, and ctx ends one that waits.
func TestFollowGivesUpASilentStream(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		asked := 0
		c := servePipes(t, func(w http.ResponseWriter, r *http.Request) {
			asked++
			answer(w, 200, "text/event-stream", ":\n")
			_ = http.NewResponseController(w).Flush()
			<-r.Context().Done()
		})
		ctx, cancel := context.WithTimeout(t.Context(), stallTime+2*lastPause)
		defer cancel()
		for _, err := range c.Follow(ctx, nil, -1) {
			require.ErrorIs(t, err, context.DeadlineExceeded)
		}
		require.Equal(t, 2, asked)
	})
}
