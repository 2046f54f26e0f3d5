package cmd

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// growing is output that tests look at while it is written.
type growing struct {
	mu  sync.Mutex
	all bytes.Buffer
}

func (g *growing) Write(p []byte) (int, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.all.Write(p)
}

func (g *growing) String() string {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.all.String()
}

func TestEventsFollow(t *testing.T) {
	event := func(n int) string {
		return fmt.Sprintf(`{"position":%d,"eventId":"e-%d","eventType":"E","aggregateId":"a","aggregateType":"A","timestamp":"2026-01-01T00:00:00.000000Z","version":1,"payload":{},"metadata":{}}`, n, n)
	}
	for _, form := range []string{"table", "ndjson"} {
		stored := make(chan int, 8)
		s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			assert.Equal(t, "u", r.URL.Query().Get("userId"))
			if r.URL.Path == "/v1/events" {
				w.Header().Set("Content-Type", "application/json")
				fmt.Fprintf(w, `{"items":[%s,%s],"nextCursor":null}`, event(3), event(7))
				return
			}
			assert.Equal(t, "7", r.Header.Get("Last-Event-ID"))
			assert.Empty(t, r.URL.Query().Get("order"))
			w.Header().Set("Content-Type", "text/event-stream")
			for {
				select {
				case n := <-stored:
					fmt.Fprintf(w, "id: %d\ndata: %s\n\n", n, event(n))
					w.(http.Flusher).Flush()
				case <-r.Context().Done():
					return
				}
			}
		}))
		t.Cleanup(s.Close)
		t.Setenv("AUDITTRAIL_CLIENT_URL", s.URL)
		var out, errs growing
		ctx, interrupt := context.WithCancel(t.Context())
		ended := make(chan int, 1)
		go func() {
			ended <- run(ctx, []string{"events", "--follow", "--user-id", "u", "--output", form}, &out, &errs)
		}()
		stored <- 8
		require.Eventually(t, func() bool { return strings.Contains(out.String(), "e-8") }, time.Minute, time.Millisecond, errs.String())
		stored <- 12
		require.Eventually(t, func() bool { return strings.Contains(out.String(), "e-12") }, time.Minute, time.Millisecond)
		interrupt()
		require.Equal(t, 0, <-ended, errs.String())
		at := -1
		for _, id := range []string{"e-7", "e-3", "e-8", "e-12"} {
			next := strings.Index(out.String(), id)
			require.Greater(t, next, at, out.String())
			at = next
		}
	}
	for _, wrong := range [][]string{{"--order", "asc"}, {"--count"}, {"--output", "json"}, {"--to", "1h"}} {
		_, _, status := call(t, append([]string{"events", "--follow"}, wrong...)...)
		require.Equal(t, 2, status, wrong)
	}
}
