package analytics

import (
	"bytes"
	"context"
	"encoding/json"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"time"

	"audittrail/modules/event"
	"audittrail/modules/store"
)

// hook posts new anomalies to analytics.webhook_url, one after the other. What can't be delivered in three tries, or finds
// the queue full, is logged and dropped: the list of anomalies has it all the same.
type hook struct {
	url   string
	queue chan store.Anomaly
	http  *http.Client
	log   *slog.Logger
	pause time.Duration // after a try that failed
}

func newHook(url string, log *slog.Logger) *hook {
	return &hook{url: url, queue: make(chan store.Anomaly, 1000), log: log, pause: 5 * time.Second, http: &http.Client{
		Timeout:       10 * time.Second,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
}

func isAllowedURL(text string) bool {
	u, err := url.Parse(text)
	if err != nil || u.Host == "" {
		return false
	}
	ip := net.ParseIP(u.Hostname())
	return u.Scheme == "https" || u.Scheme == "http" && (u.Hostname() == "localhost" || ip != nil && ip.IsLoopback())
}

// tell queues an anomaly.
func (h *hook) tell(a store.Anomaly) {
	if h.url == "" {
		return
	}
	select {
	case h.queue <- a:
	default:
		h.log.Warn("an anomaly is not posted: the queue of analytics.webhook_url is full", "anomaly", a.ID)
	}
}

// run posts what is queued, until ctx ends.
func (h *hook) run(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case a := <-h.queue:
			h.deliver(ctx, a)
		}
	}
}

func (h *hook) deliver(ctx context.Context, a store.Anomaly) {
	// Neither the subject nor the evidence: both may name persons, and the receiver's rights are unknown here.
	body, _ := json.Marshal(map[string]any{"id": a.ID, "kind": a.Kind, "startedAt": event.FormatTime(a.StartedAt), "observed": a.Observed, "expected": a.Expected, "distance": a.Distance})
	for try := 1; ; try++ {
		err := h.post(ctx, body)
		if err == nil || ctx.Err() != nil {
			return
		}
		if try == 3 {
			h.log.WarnContext(ctx, "an anomaly could not be posted to analytics.webhook_url", "anomaly", a.ID)
			return
		}
		select {
		case <-ctx.Done():
		case <-time.After(h.pause):
		}
	}
}

var errHook = errStatus{}

type errStatus struct{}

func (errStatus) Error() string { return "the webhook did not answer 2xx" }

func (h *hook) post(ctx context.Context, body []byte) error {
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, h.url, bytes.NewReader(body))
	if err != nil {
		return err
	}
	r.Header.Set("Content-Type", "application/json")
	answer, err := h.http.Do(r)
	if err != nil {
		return err
	}
	_ = answer.Body.Close()
	if answer.StatusCode/100 != 2 {
		return errHook
	}
	return nil
}
