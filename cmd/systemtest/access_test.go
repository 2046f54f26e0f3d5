package systemtest

import (
	"context"
	"errors"
	"net/http"
	"strconv"
	"sync"
	"testing"
	"time"
)

// TestAnswersOfAKilledAPIAreInTheAccessLog proves that no answer goes out that is not in the log: the API is killed
// while many ask, some times, and each answer that came has its entry.
func TestAnswersOfAKilledAPIAreInTheAccessLog(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	token, flags := credentials(t)
	address := freeAddress(t)
	var mu sync.Mutex
	answered := map[string]bool{} // correlation ids
	for round := range 5 {
		p := start(t, "api", append([]string{"serve", "--roles=api", "--postgres.url", s.url, "--http.addr", address, "--log.format", "json"}, flags...)...)
		eventually(t, 20*time.Second, "it is ready", p.ready)
		ctx, stop := context.WithCancel(t.Context())
		var asking sync.WaitGroup
		for n := range 16 {
			asking.Go(func() {
				for i := 0; ctx.Err() == nil; i++ {
					id := strconv.Itoa(round) + "-" + strconv.Itoa(n) + "-" + strconv.Itoa(i)
					if ask(ctx, "http://"+address+"/v1/events?limit=1", token, id) {
						mu.Lock()
						answered[id] = true
						mu.Unlock()
					}
				}
			})
		}
		mu.Lock()
		before := len(answered)
		mu.Unlock()
		eventually(t, 20*time.Second, "answers come", func(context.Context) error {
			mu.Lock()
			defer mu.Unlock()
			if len(answered) < before+200 {
				return errors.New("too few yet")
			}
			return nil
		})
		p.kill()
		stop()
		asking.Wait()
	}
	logged := map[string]bool{}
	for _, id := range one[[]string](s, "SELECT array_agg(entry ->> 'correlationId') FROM access_log") {
		logged[id] = true
	}
	for id := range answered {
		if !logged[id] {
			t.Errorf("the answer to %s is not in the access log", id)
		}
	}
	t.Logf("%d answers, %d entries", len(answered), len(logged))
}

// ask says whether an answer came.
func ask(ctx context.Context, address, token, id string) bool {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return false
	}
	request.Header.Set("Authorization", "Bearer "+token)
	request.Header.Set("X-Correlation-Id", id)
	response, err := http.DefaultTransport.RoundTrip(request)
	if err != nil {
		return false
	}
	_ = response.Body.Close()
	return response.StatusCode == http.StatusOK
}
