package replay

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"fmt"
	"hash/fnv"
	"io"
	"net/http"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"

	"audittrail/modules/event"
)

const (
	// lanes is how many requests are under way at once. Events of one aggregate are always in one lane.
	lanes = 8

	// maxAttempts is after how many tries an event has failed, where others are taken.
	maxAttempts = 8

	// maxWebhookAnswer is how much of an answer is read. None of it is shown or logged.
	maxWebhookAnswer = 64 << 10

	// maxRetryAfter bounds how long a webhook may tell us to wait.
	maxRetryAfter = 10 * time.Minute

	headerLease = "audittrail-lease"
)

// WebhookPatience is how long webhooks are waited for.
type WebhookPatience struct {
	Timeout      time.Duration // of a request; 15 s where 0
	LeastBackoff time.Duration // before a second try; half a second where 0. It doubles with each
	MostBackoff  time.Duration // 30 s where 0
}

func (p WebhookPatience) orUsual() WebhookPatience {
	usual := func(d *time.Duration, otherwise time.Duration) {
		if *d == 0 {
			*d = otherwise
		}
	}
	usual(&p.Timeout, 15*time.Second)
	usual(&p.LeastBackoff, leastBackoff)
	usual(&p.MostBackoff, 30*time.Second)
	return p
}

// webhookSender posts events to a URL, signed as Standard Webhooks has it
// (https://github.com/standard-webhooks/standard-webhooks, spec 1.0.0).
type webhookSender struct {
	client   *http.Client
	to       destination
	secrets  [][]byte
	replay   string
	lease    string
	patience WebhookPatience
	breaker  *breaker
	may      func() bool // whether the lease is still this worker's
	hindered func(why string)
}

func openWebhook(j *job) (sender, error) {
	secrets, err := readSecrets(j.to.webhook.SecretFile)
	if err != nil {
		return nil, &fatal{"the secret_file of the webhook can't be read, or holds no secret", err}
	}
	roots, err := readRoots(j.to.webhook.CA)
	if err != nil {
		return nil, &fatal{"the ca of the webhook can't be read, or holds no certificate", err}
	}
	patience := j.role.deps.Webhook.orUsual()
	transport := &http.Transport{
		Proxy: nil, DialContext: dialer(j.to.webhook.AllowPrivate).DialContext, ForceAttemptHTTP2: true, DisableCompression: true,
		TLSClientConfig:     &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: roots},
		MaxIdleConnsPerHost: lanes, IdleConnTimeout: time.Minute, TLSHandshakeTimeout: patience.Timeout, MaxResponseHeaderBytes: maxWebhookAnswer,
	}
	return &webhookSender{
		client: &http.Client{Transport: transport, Timeout: patience.Timeout, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }},
		to:     j.to, secrets: secrets, replay: j.claim.ID.String(), lease: strconv.FormatInt(j.claim.Lease, 10),
		patience: patience, breaker: newBreaker(patience), may: j.mayStillSend, hindered: j.hindered,
	}, nil
}

// readSecrets reads secrets, a line each: whsec_ and base64. All of them sign, so that a receiver can change from one
// to the next.
func readSecrets(path string) (secrets [][]byte, err error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	for line := range strings.Lines(string(text)) {
		if line = strings.TrimSpace(line); line == "" {
			continue
		}
		secret, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(line, "whsec_"))
		if err != nil || len(secret) < 16 {
			return nil, errors.New("a line is no secret: whsec_ and the base64 of 24 to 64 bytes")
		}
		secrets = append(secrets, secret)
	}
	if len(secrets) == 0 {
		return nil, errors.New("it is empty")
	}
	return secrets, nil
}

// readRoots reads authorities; nil, the system's, where there is no file.
func readRoots(path string) (*x509.CertPool, error) {
	if path == "" {
		return nil, nil //nolint:nilnil // the system's
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(text) {
		return nil, errors.New("it holds no certificate")
	}
	return roots, nil
}

// send posts events in lanes, so that a slow request holds up few others.
func (w *webhookSender) send(ctx context.Context, events []event.Stored) ([]outcome, error) {
	outcomes, errs := make([]outcome, len(events)), make([]error, lanes)
	var split [lanes][]int
	for i := range events {
		h := fnv.New32a()
		_, _ = io.WriteString(h, events[i].AggregateType+"\x00"+events[i].AggregateID)
		lane := h.Sum32() % lanes
		split[lane] = append(split[lane], i)
	}
	var running sync.WaitGroup
	for n, lane := range split {
		running.Go(func() { errs[n] = w.lane(ctx, events, lane, outcomes) })
	}
	running.Wait()
	return outcomes, errors.Join(errs...)
}

// lane sends some of the events, one request after the other.
func (w *webhookSender) lane(ctx context.Context, events []event.Stored, lane []int, outcomes []outcome) error {
	blocked := map[aggregate]bool{}
	for len(lane) > 0 {
		var together []int
		for len(lane) > 0 && len(together) < w.to.batch {
			if of := aggregateOf(&events[lane[0]]); blocked[of] {
				outcomes[lane[0]] = outcome{status: waiting}
			} else {
				together = append(together, lane[0])
			}
			lane = lane[1:]
		}
		if err := w.deliver(ctx, events, together, outcomes, blocked); err != nil {
			return err
		}
	}
	return nil
}

// deliver sends a request, and its events alone where it was refused, so that one does not fail for another.
func (w *webhookSender) deliver(ctx context.Context, events []event.Stored, together []int, outcomes []outcome, blocked map[aggregate]bool) error {
	if len(together) == 0 {
		return nil
	}
	o, err := w.request(ctx, events, together)
	if err != nil {
		return err
	}
	if o.status == failed && len(together) > 1 {
		for _, i := range together {
			if blocked[aggregateOf(&events[i])] {
				outcomes[i] = outcome{status: waiting}
			} else if err := w.deliver(ctx, events, []int{i}, outcomes, blocked); err != nil {
				return err
			}
		}
		return nil
	}
	for _, i := range together {
		outcomes[i] = o
		blocked[aggregateOf(&events[i])] = o.status == failed
	}
	return nil
}

// request sends one request until it is taken or has failed.
func (w *webhookSender) request(ctx context.Context, events []event.Stored, together []int) (outcome, error) {
	body, id := w.body(events, together)
	backoff := w.patience.LeastBackoff
	for attempts := 1; ; attempts++ {
		if err := w.breaker.enter(ctx); err != nil {
			return outcome{}, err
		}
		if !w.may() {
			w.breaker.leave(breakerUnknown, 0)
			return outcome{}, &obstacle{"waits for the lease to be renewed", nil}
		}
		answer := w.post(ctx, events, together, body, id)
		switch {
		case ctx.Err() != nil:
			w.breaker.leave(breakerUnknown, 0)
			return outcome{}, ctx.Err()
		case answer.taken:
			w.breaker.leave(breakerTaken, 0)
			return outcome{status: sent, attempts: attempts}, nil
		case answer.gone:
			w.breaker.leave(breakerUnknown, 0)
			return outcome{}, &fatal{"the webhook says that it is gone (410)", nil}
		case answer.forGood:
			w.breaker.leave(breakerTaken, 0) // it works
			return outcome{failed, attempts, answer.why}, nil
		}
		w.hindered(answer.why + "; it will be tried again")
		isOpen := w.breaker.leave(breakerFailed, answer.after)
		if isOpen || answer.after > 0 {
			attempts-- // nobody is to blame
		}
		if attempts >= maxAttempts {
			return outcome{failed, attempts, answer.why}, nil
		}
		if err := wait(ctx, backoff); err != nil {
			return outcome{}, err
		}
		backoff = min(2*backoff, w.patience.MostBackoff)
	}
}

// body is a request's body and its id. One event is a body of its own; several are an array of their positions and
// themselves.
func (w *webhookSender) body(events []event.Stored, together []int) (body []byte, id string) {
	first := &events[together[0]]
	if w.to.batch == 1 {
		return record(nil, first), fmt.Sprintf("%s.%d", w.replay, first.Position)
	}
	last := &events[together[len(together)-1]]
	for n, i := range together {
		body = append(body, "[,"[min(n, 1)])
		body = strconv.AppendInt(append(body, `{"position":`...), events[i].Position, 10)
		body = append(record(append(body, `,"event":`...), &events[i]), '}')
	}
	return append(body, ']'), fmt.Sprintf("%s.%d-%d", w.replay, first.Position, last.Position)
}

// reply is what a webhook said.
type reply struct {
	taken, gone, forGood bool
	after                time.Duration // it says when to come again
	why                  string        // in our own words
}

func (w *webhookSender) post(ctx context.Context, events []event.Stored, together []int, body []byte, id string) reply {
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, w.to.webhook.URL, bytes.NewReader(body))
	if err != nil {
		return reply{why: "the webhook can't be asked"}
	}
	now := strconv.FormatInt(time.Now().Unix(), 10)
	h := r.Header
	h.Set("Content-Type", "application/json")
	h.Set("User-Agent", "audittrail")
	h.Set("Webhook-Id", id)
	h.Set("Webhook-Timestamp", now)
	h.Set("Webhook-Signature", w.sign(id, now, body))
	h.Set(headerReplay, w.replay)
	h.Set(headerLease, w.lease)
	if w.to.batch == 1 {
		h.Set(headerEvent, events[together[0]].ID.String())
		h.Set(headerPosition, strconv.FormatInt(events[together[0]].Position, 10))
	}
	answer, err := w.client.Do(r)
	if err != nil {
		var private *privateError
		if errors.As(err, &private) {
			return reply{forGood: true, why: "the webhook's address is a private one, which replay.targets does not allow"}
		}
		return reply{why: "the webhook does not answer"}
	}
	defer answer.Body.Close()
	_, _ = io.CopyN(io.Discard, answer.Body, maxWebhookAnswer) // so that the connection can be used again
	return judge(answer)
}

// judge reads an answer's status.
func judge(answer *http.Response) reply {
	r := reply{why: "the webhook answers " + strconv.Itoa(answer.StatusCode)}
	switch code := answer.StatusCode; {
	case code/100 == 2:
		r.taken = true
	case code == http.StatusGone:
		r.gone = true
	case code == http.StatusTooManyRequests, code == http.StatusServiceUnavailable:
		r.after = retryAfter(answer.Header.Get("Retry-After"), time.Now())
	case code == http.StatusRequestTimeout, code == http.StatusTooEarly, code/100 == 5:
	default:
		r.forGood = true
	}
	return r
}

// retryAfter reads seconds or a date; 0 where there is none.
func retryAfter(text string, now time.Time) time.Duration {
	var after time.Duration
	if seconds, err := strconv.ParseInt(text, 10, 32); err == nil {
		after = time.Duration(seconds) * time.Second
	} else if date, err := http.ParseTime(text); err == nil {
		after = date.Sub(now)
	}
	return min(max(after, 0), maxRetryAfter)
}

// sign is the signature by every secret.
func (w *webhookSender) sign(id, timestamp string, body []byte) string {
	signatures := make([]string, len(w.secrets))
	for i, secret := range w.secrets {
		mac := hmac.New(sha256.New, secret)
		_, _ = io.WriteString(mac, id+"."+timestamp+".") // never fails
		_, _ = mac.Write(body)
		signatures[i] = "v1," + base64.StdEncoding.EncodeToString(mac.Sum(nil))
	}
	return strings.Join(signatures, " ")
}

func (w *webhookSender) finish(context.Context) error { return nil }

func (w *webhookSender) close() { w.client.CloseIdleConnections() }
