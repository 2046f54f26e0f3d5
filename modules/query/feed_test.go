package query_test

import (
	"fmt"
	"net/http"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"audittrail/modules/migrate/migratetest"
)

// As many feeds as there may be requests, and everybody else is answered all the same.
func TestWaitingFeedsLeaveRoomForOthers(t *testing.T) {
	const requests = 8
	url := migratetest.Database(t)
	a := startAPI(t, apiPool(t, url), func(s *settings) { s.maxRequests = requests })
	answers := make(chan answer, 2*requests)
	waits := func(n int) {
		for range n {
			a.ask(t, "/v1/feed?wait=30", answers)
		}
	}
	refused := 0
	early := func(n int) {
		for range n {
			select {
			case got := <-answers:
				if got.status == http.StatusServiceUnavailable {
					require.NotEmpty(t, got.header.Get("Retry-After"))
					refused++
					continue
				}
				require.Equal(t, http.StatusOK, got.status, string(got.body))
				require.JSONEq(t, `{"items":[],"nextCursor":null,"scannedTo":-1}`, string(got.body))
			case <-time.After(10 * time.Second):
				t.Fatal("a feed waits that should not")
			}
		}
	}
	waits(requests)
	early(requests/2 + 1) // a quarter of the places is for other callers
	require.Equal(t, requests/4+1, refused, "two of those without a place are held, the others told to come back")
	require.Equal(t, http.StatusOK, a.get(t, "/v1/events").status)
	waits(1)
	early(1)
	require.Empty(t, answers, "the others wait")
	require.NoError(t, a.stop())
	early(requests/2 - 1)
}

// Followers that find no place to wait, and ask again at once, are held for a second each time.
func TestFollowersWithoutAPlaceDoNotSpin(t *testing.T) {
	t.Parallel()
	a := startAPI(t, apiPool(t, migratetest.Database(t)), func(s *settings) { s.maxRequests = 4 })
	answers := make(chan answer, 8)
	for range 3 { // two wait, one is held
		a.ask(t, "/v1/feed?wait=30", answers)
	}
	<-answers
	begin := time.Now()
	require.Equal(t, http.StatusOK, a.get(t, "/v1/feed?wait=30").status)
	require.GreaterOrEqual(t, time.Since(begin), 900*time.Millisecond)
	require.Empty(t, answers, "the others wait on")
	require.NoError(t, a.stop())
}

// A store that does not move makes no feed last much longer than its caller wanted to wait.
func TestFeedAnswersInTimeFromAStoreThatDoesNotMove(t *testing.T) {
	t.Parallel()
	url := migratetest.Database(t)
	a := startAPI(t, openPool(t, url, "audittrail_api", map[string]string{"jit": "off"}))
	require.Equal(t, http.StatusOK, a.get(t, "/v1/feed").status)
	conn, err := pgx.Connect(t.Context(), url)
	require.NoError(t, err)
	defer conn.Close(t.Context()) //nolint:errcheck // the database goes with it
	_, err = conn.Exec(t.Context(), "BEGIN; LOCK TABLE ledger_batches IN ACCESS EXCLUSIVE MODE")
	require.NoError(t, err)

	begin := time.Now()
	a.get(t, "/v1/feed?wait=1").refused(t, http.StatusServiceUnavailable, "unavailable", "")
	require.Less(t, time.Since(begin), 9*time.Second)
}

func TestFeedTakesTheFilters(t *testing.T) {
	t.Parallel()
	a := newAPI(t)
	for n := 1; n < 8; n++ {
		a.append(t, told(n, fmt.Sprintf(`{"n":%d}`, n%3), fmt.Sprintf(`{"userId":"u-%d"}`, n%2)))
	}
	got := a.get(t, "/v1/feed?userId=u-1&fields=eventId&payload=%7B%22n%22%3A1%7D")
	require.JSONEq(t, fmt.Sprintf(`{"items":[{"eventId":%q},{"eventId":%q}],"nextCursor":null,"scannedTo":6}`, id(1), id(7)), string(got.body))
	got = a.get(t, "/v1/feed?userId=none")
	require.JSONEq(t, `{"items":[],"nextCursor":null,"scannedTo":6}`, string(got.body))
	a.get(t, "/v1/feed?fields=none").refused(t, 400, "invalid_parameter", "fields")
	a.get(t, "/v1/feed?payload=%7B%7D").refused(t, 400, "invalid_parameter", "payload")
}
