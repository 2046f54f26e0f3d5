package query_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"audittrail/modules/access"
	"audittrail/modules/migrate/migratetest"
	"audittrail/platform/longtest"
)

// subscriber is a stream of the feed, as one who reads it line by line has it.
type subscriber struct {
	*http.Response
	lines *bufio.Reader
	leave context.CancelFunc
}

// subscribe asks for the feed as a stream.
func (a *api) subscribe(t testing.TB, path string, adjust ...func(*http.Request)) *subscriber {
	t.Helper()
	r := a.request(t, path)
	r.Header.Set("Accept", "text/event-stream")
	for _, f := range adjust {
		f(r)
	}
	ctx, leave := context.WithCancel(r.Context())
	patient := *a.client
	patient.Timeout = 0
	response, err := patient.Do(r.WithContext(ctx))
	require.NoError(t, err)
	t.Cleanup(func() { leave(); _ = response.Body.Close() })
	return &subscriber{response, bufio.NewReaderSize(response.Body, 64<<10), leave}
}

func behind(id string) func(*http.Request) {
	return func(r *http.Request) { r.Header.Set("Last-Event-ID", id) }
}

// line reads the next line.
func (s *subscriber) line(t testing.TB) string {
	t.Helper()
	line, err := s.lines.ReadString('\n')
	require.NoError(t, err)
	return strings.TrimSuffix(line, "\n")
}

// event reads up to the end of the next event, and returns its id and its data.
func (s *subscriber) event() (id int64, data string, err error) {
	id = -1
	for {
		line, err := s.lines.ReadString('\n')
		if err != nil {
			return -1, "", err
		}
		line = strings.TrimSuffix(line, "\n")
		switch name, value, _ := strings.Cut(line, ": "); {
		case name == "id":
			if id, err = strconv.ParseInt(value, 10, 64); err != nil {
				return -1, "", err
			}
		case name == "data":
			data = value
		case line == "" && data != "":
			return id, data, nil
		}
	}
}

func (s *subscriber) wants(t testing.TB, positions ...int64) {
	t.Helper()
	for _, want := range positions {
		got, data, err := s.event()
		require.NoError(t, err)
		require.Equal(t, want, got)
		require.Contains(t, data, fmt.Sprintf(`"position":%d`, want))
	}
}

func TestFeedStreams(t *testing.T) {
	t.Parallel()
	a := newAPI(t)
	a.append(t, order(1, "Order", "x"), strings.Replace(order(2, "Order", "x"), `"n":2`, `"text":"two\nlines"`, 1))
	s := a.subscribe(t, "/v1/feed")
	require.Equal(t, http.StatusOK, s.StatusCode)
	require.Equal(t, "text/event-stream", s.Header.Get("Content-Type"))
	require.Equal(t, "private, no-store", s.Header.Get("Cache-Control"))
	require.Equal(t, []string{"Authorization", "Accept"}, s.Header.Values("Vary"))
	require.Equal(t, "retry: 1000", s.line(t))
	for position := range 2 {
		require.Equal(t, fmt.Sprintf("id: %d", position), s.line(t))
		event := strings.TrimPrefix(s.line(t), "data: ")
		require.Equal(t, string(a.get(t, "/v1/events/"+id(position+1)).body), event, "the event's own JSON")
		require.Empty(t, s.line(t))
	}
	a.append(t, order(3, "Order", "x"))
	s.wants(t, 2)

	a.subscribe(t, "/v1/feed?after=1").wants(t, 2)
	late := a.subscribe(t, "/v1/feed?after=-1&limit=1", behind("1"))
	late.wants(t, 2)
	a.append(t, order(4, "Order", "x"), order(5, "Order", "x"))
	late.wants(t, 3, 4)
	s.wants(t, 3, 4)
	r := a.request(t, "/v1/feed?after=2")
	r.Header.Set("Last-Event-ID", "0")
	var page list
	a.send(t, r).decode(t, &page)
	require.Equal(t, []any{3.0, 4.0}, page.all("position"), "only a stream heeds it")

	head := a.subscribe(t, "/v1/feed", func(r *http.Request) { r.Method = http.MethodHead })
	require.Equal(t, http.StatusOK, head.StatusCode)
	require.Equal(t, "text/event-stream", head.Header.Get("Content-Type"))
	_, err := head.lines.ReadByte()
	require.Equal(t, io.EOF, err)
}

func TestStreamsAreRefusedByProblems(t *testing.T) {
	t.Parallel()
	a := startAPI(t, apiPool(t, migratetest.Database(t)), func(s *settings) { s.maxRequests = 2 })
	refused := func(path, last string, status int, code, field string) answer {
		r := a.request(t, path)
		r.Header.Set("Accept", "text/event-stream")
		if last != "" {
			r.Header.Set("Last-Event-ID", last)
		}
		got := a.send(t, r)
		got.refused(t, status, code, field)
		return got
	}
	refused("/v1/feed?after=0", "", http.StatusConflict, "position_beyond_end", "after")
	refused("/v1/feed", "7", http.StatusConflict, "position_beyond_end", "after")
	refused("/v1/feed", "9223372036854775807", http.StatusConflict, "position_beyond_end", "after")
	for _, wrong := range []string{"x", "-2", "1.5", "9223372036854775808", "1,2", "0x1"} {
		refused("/v1/feed", wrong, http.StatusBadRequest, "invalid_parameter", "Last-Event-ID")
	}
	refused("/v1/feed?cursor=x", "", http.StatusBadRequest, "invalid_parameter", "cursor")

	s := a.subscribe(t, "/v1/feed")
	require.Equal(t, "retry: 1000", s.line(t), "it begins before there is anything")
	require.NotEmpty(t, refused("/v1/feed", "", http.StatusServiceUnavailable, "unavailable", "").header.Get("Retry-After"))
	s.leave()
	require.Eventually(t, func() bool {
		next := a.subscribe(t, "/v1/feed")
		defer next.leave()
		return next.StatusCode == http.StatusOK
	}, 10*time.Second, 10*time.Millisecond, "the place is free again")
}

func TestStreamHasAHeartbeat(t *testing.T) {
	t.Parallel()
	url := migratetest.Database(t)
	a := newAPIOn(t, url, startAPI(t, apiPool(t, url), func(s *settings) { s.heartbeat = 5 * time.Millisecond }))
	s := a.subscribe(t, "/v1/feed")
	require.Equal(t, "retry: 1000", s.line(t))
	for range 3 {
		require.Equal(t, ":", s.line(t))
	}
	a.append(t, order(1, "Order", "x"))
	s.wants(t, 0)
	require.Equal(t, ":", s.line(t))
}

// A stream shows what its caller may see, and tells how far the feed was read beyond.
func TestStreamKeepsToTheScope(t *testing.T) {
	t.Parallel()
	url := migratetest.Database(t)
	a := newAPIOn(t, url, startAPI(t, apiPool(t, url), func(s *settings) {
		s.heartbeat = 5 * time.Millisecond
		s.access.Roles = []access.RoleOptions{{
			Name: "orders", Permissions: []string{string(access.EventsRead)}, Scope: access.ScopeOptions{AggregateTypes: []string{"Order"}},
		}}
	}))
	a.append(t, order(1, "Order", "x"), order(2, "Invoice", "x"), order(3, "Order", "x"), order(4, "Invoice", "x"))
	s := a.subscribe(t, "/v1/feed", func(r *http.Request) {
		r.Header.Set("Authorization", "Bearer "+a.issuer.Token(map[string]any{"roles": []string{"orders"}}))
	})
	s.wants(t, 0, 2)
	line := s.line(t)
	for line == ":" {
		line = s.line(t)
	}
	require.Equal(t, "id: 3", line)
	require.Empty(t, s.line(t))
	a.append(t, order(5, "Order", "x"))
	s.wants(t, 4)
}

// An end that the server makes is the answer's whole end, not a cut one.
func TestStreamsEndTidily(t *testing.T) {
	t.Parallel()
	a := newAPI(t)
	a.append(t, order(1, "Order", "x"))
	expired := a.subscribe(t, "/v1/feed", func(r *http.Request) {
		// Tokens are accepted for 30 seconds beyond their expiry.
		r.Header.Set("Authorization", "Bearer "+a.issuer.Token(map[string]any{"exp": time.Now().Add(-28 * time.Second).Unix()}))
	})
	expired.wants(t, 0)
	_, _, err := expired.event()
	require.Equal(t, io.EOF, err)

	s := a.subscribe(t, "/v1/feed")
	s.wants(t, 0)
	require.NoError(t, a.stop())
	_, _, err = s.event()
	require.Equal(t, io.EOF, err)
}

// A store that fails in the middle ends the stream, and its caller goes on where it was.
func TestStreamEndsWithItsStore(t *testing.T) {
	t.Parallel()
	server := migratetest.Server(t)
	url := server.URL()
	a := newAPIOn(t, url, startAPI(t, apiPool(t, url), func(s *settings) { s.heartbeat = 50 * time.Millisecond }))
	a.append(t, order(1, "Order", "x"), order(2, "Order", "x"))
	s := a.subscribe(t, "/v1/feed?after=0")
	s.wants(t, 1)
	server.Stop()
	_, _, err := s.event()
	require.Error(t, err)
	server.Start()
	require.Eventually(t, func() bool {
		s = a.subscribe(t, "/v1/feed", behind("0"))
		return s.StatusCode == http.StatusOK
	}, 20*time.Second, 100*time.Millisecond)
	s.wants(t, 1)
	newAPIOn(t, url, a).append(t, order(3, "Order", "x"))
	s.wants(t, 2)
}

// Subscribers that are killed at any byte, and come back with the last id that they got whole, see each event
// once, in order, while events arrive.
func TestSubscribersAreKilledAndResumed(t *testing.T) {
	t.Parallel()
	events := longtest.Choose(t, 10_000, 100_000)
	a := newAPI(t)
	var appending sync.WaitGroup
	defer appending.Wait()
	appending.Go(func() {
		for from := 0; from < events; from += 500 {
			values := make([]string, 500)
			for i := range values {
				values[i] = order(from+i, "Order", "x")
			}
			a.append(t, values...)
		}
	})
	var following sync.WaitGroup
	for n := range 4 {
		following.Go(func() {
			random := rand.New(rand.NewPCG(uint64(n), 1))
			next, kills := int64(0), 0
			for next < int64(events) {
				s := a.subscribe(t, "/v1/feed", behind(strconv.FormatInt(next-1, 10)))
				// Bytes are counted where the network gives them: half an event may be lost.
				s.lines.Reset(io.LimitReader(s.Body, random.Int64N(int64(events)*100)))
				for {
					got, data, err := s.event()
					if err != nil {
						break
					}
					if got != next || !strings.Contains(data, fmt.Sprintf(`"position":%d,`, next)) {
						t.Errorf("subscriber %d got %d where %d comes next: %s", n, got, next, data)
						s.leave()
						return
					}
					if next++; next == int64(events) {
						break
					}
				}
				kills++
				s.leave()
			}
			if kills < 3 {
				t.Errorf("subscriber %d was killed only %d times", n, kills)
			}
		})
	}
	following.Wait()
}

// A client that was written apart, in Python, follows the feed while it grows.
func TestPythonFollowsTheFeed(t *testing.T) {
	t.Parallel()
	path, err := exec.LookPath("python3")
	if err != nil {
		if os.Getenv("CI") != "" {
			t.Fatal("python3 is missing")
		}
		t.Skip("python3 is missing")
	}
	a := newAPI(t)
	a.append(t, order(1, "Order", "x"), order(2, "Order", "x"), order(3, "Order", "x"))
	cmd := exec.CommandContext(t.Context(), path, filepath.Join("testdata", "follow.py"), a.url, "60")
	cmd.Env = append(os.Environ(), "TOKEN="+a.issuer.Token(nil))
	var stderr strings.Builder
	cmd.Stderr = &stderr
	out, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	lines := bufio.NewScanner(out)
	for position := range 60 {
		if position%3 == 0 && position > 0 {
			a.append(t, order(position+1, "Order", "x"), order(position+2, "Order", "x"), order(position+3, "Order", "x"))
		}
		require.True(t, lines.Scan(), "%v %s", lines.Err(), &stderr)
		require.Equal(t, fmt.Sprint(position, " ", id(position+1)), lines.Text())
	}
	require.NoError(t, cmd.Wait(), &stderr)
}

// A subscriber that reads nothing is cut off when its time to read is over; what it held is free again.
func TestSlowSubscriberIsCutOff(t *testing.T) {
	t.Parallel()
	longtest.Only(t, "it waits for as long as a reader may take nothing, 30 s")
	url := migratetest.Database(t)
	a := newAPIOn(t, url, startAPI(t, apiPool(t, url), func(s *settings) { s.maxRequests = 2 }))
	padding := strings.Repeat("x", 200<<10)
	for from := range 10 { // 40 MB: more than the network's buffers take
		values := make([]string, 20)
		for i := range values {
			values[i] = strings.Replace(order(20*from+i, "Order", "x"), `"payload":{`, `"payload":{"padding":"`+padding+`",`, 1)
		}
		a.append(t, values...)
	}
	slow := a.subscribe(t, "/v1/feed")
	require.Equal(t, "retry: 1000", slow.line(t))
	require.Equal(t, http.StatusServiceUnavailable, a.subscribe(t, "/v1/feed").StatusCode, "it holds the one place")
	require.Eventually(t, func() bool {
		next := a.subscribe(t, "/v1/feed")
		defer next.leave()
		return next.StatusCode == http.StatusOK
	}, 90*time.Second, 200*time.Millisecond)
	_, err := io.Copy(io.Discard, slow.lines)
	require.Error(t, err, "it was cut")
}
