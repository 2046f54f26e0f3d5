package systemtest

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"iter"
	"net/http"
	"net/url"
	"testing"
	"time"

	"audittrail/platform/devstack"
)

// longItem is an item that is both in the excerpt and in the whole file, and how many events it has.
const (
	longItem       = "4507000436_00010"
	longItemEvents = 513
)

// TestHistoryThroughTheAPI proves the whole path: a file published, ingested, and one item's history
// read back page by page, in order, by a token that a JWKS file vouches for.
func TestHistoryThroughTheAPI(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	do(t, "publish", excerpt, "--topic", s.topic, "--kafka.brokers", s.brokers[0])
	token, flags := credentials(t)
	address := freeAddress(t)
	p := s.ingest("all", append(flags, "--roles=ingest,api", "--http.addr", address)...)
	s.caughtUp(time.Minute, p)
	eventually(t, 20*time.Second, "it is ready", p.ready)

	path := "http://" + address + "/v1/aggregates/PurchaseOrderItem/" + longItem + "/events"
	if status, _ := get(t, path, ""); status != http.StatusUnauthorized {
		t.Errorf("without a token the answer is %d", status)
	}
	var version, pages int
	for events := range listed(t, path, token, url.Values{"limit": {"50"}}) {
		for _, e := range events {
			version++
			if e.AggregateID != longItem || e.Version != version {
				t.Fatalf("page %d: version %d of %s stands where version %d should", pages, e.Version, e.AggregateID, version)
			}
		}
		pages++
	}
	if version != longItemEvents || pages <= longItemEvents/50 {
		t.Errorf("%d of %d events on %d pages", version, longItemEvents, pages)
	}
	p.stop()
}

// listedEvent is an event of a list, as far as tests look at it.
type listedEvent struct {
	EventID     string `json:"eventId"`
	AggregateID string `json:"aggregateId"`
	Version     int    `json:"version"`
	Position    int64  `json:"position"`
}

// listed gives the pages of a list of events, to its end.
func listed(t *testing.T, path, token string, query url.Values) iter.Seq[[]listedEvent] {
	t.Helper()
	return func(yield func([]listedEvent) bool) {
		for {
			status, body := get(t, path+"?"+query.Encode(), token)
			if status != http.StatusOK {
				t.Fatalf("%s: %d %s", query.Encode(), status, body)
			}
			var page struct {
				Items      []listedEvent `json:"items"`
				NextCursor *string       `json:"nextCursor"`
			}
			if err := json.Unmarshal(body, &page); err != nil {
				t.Fatal(err)
			}
			if !yield(page.Items) || page.NextCursor == nil {
				return
			}
			query.Set("cursor", *page.NextCursor)
		}
	}
}

// credentials are a token and the flags of a process that takes it.
func credentials(t *testing.T) (token string, flags []string) {
	t.Helper()
	keys, err := devstack.OpenKeys(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	const issuer, audience = "https://issuer.example", "audittrail"
	token, err = keys.Mint(time.Now(), devstack.TokenOptions{
		Issuer: issuer, Audience: audience, Subject: "tester", Roles: []string{"viewer"}, Lifetime: time.Hour,
	})
	if err != nil {
		t.Fatal(err)
	}
	return token, []string{"--auth.issuer", issuer, "--auth.audience", audience, "--auth.jwks_file", keys.JWKSFile()}
}

// get asks the API; without a token where it is empty.
func get(t *testing.T, address, token string) (status int, body []byte) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		t.Fatal(err)
	}
	if token != "" {
		request.Header.Set("Authorization", "Bearer "+token)
	}
	response, err := (&http.Client{}).Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	if body, err = io.ReadAll(response.Body); err != nil {
		t.Fatal(fmt.Errorf("GET %s: %w", address, err))
	}
	return response.StatusCode, body
}
