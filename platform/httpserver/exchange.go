package httpserver

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"net/http"
	"net/netip"
	"time"

	"go.opentelemetry.io/otel/trace"

	"audittrail/platform/logging"
)

// CorrelationHeader carries the correlation id, both ways.
const CorrelationHeader = "X-Correlation-Id"

// unmatched is the route of a request that no route fits. Labels and log lines never take a path.
const unmatched = "unmatched"

// Phase is the moment at which a release hook is asked.
type Phase string

// The phases. An answer that is held is let go once; a stream before its first byte, now and then, and at its end.
const (
	PhaseRequest  Phase = "request"
	PhaseStart    Phase = "start"
	PhaseProgress Phase = "progress"
	PhaseEnd      Phase = "end"
)

// Exchange is one request and its answer, as the release hooks, the log line and the metric see them.
// The request's own goroutine alone touches it.
type Exchange struct {
	Request       *http.Request
	CorrelationID string
	Principal     string // "" until a credential was accepted
	Private       bool   // the answer is for the principal alone: a credential was wanted
	Open          bool   // the answer is for everybody, with or without a credential
	Roles         []string
	RemoteAddr    string              // the client's IP address, behind the proxies of http.trusted_proxies; "" where it has none
	Query         map[string][]string // the parameters that the route knows
	Route         string              // the pattern, as "/v1/events/{eventId}", or "unmatched"
	Status        int                 // of the answer; 0 until there is one
	Events        int                 // how many events the answer shows; at a stream's start none yet
	Shown         *Positions          // of those events; nil where there is none
	Opened        []string            // ids of the subjects' keys that the answer opened, each once
	Subject       string              // the hash of the person whom the request is about; "" where it is about none
	Phase         Phase               // which part of the answer the hooks are asked about

	opened     map[string]bool
	start      time.Time
	span       trace.Span // nil where there is no tracing
	address    netip.Addr // RemoteAddr
	limits     limits
	quota      string // the header RateLimit; "" where no limit was asked
	retryAfter int    // of a 429, in seconds
}

// Positions are the lowest and the highest that an answer shows.
type Positions struct{ First, Last int64 }

type exchangeKey struct{}

// ExchangeOf finds the exchange that ctx belongs to. Outside a request it is an empty one.
func ExchangeOf(ctx context.Context) *Exchange {
	if x, ok := ctx.Value(exchangeKey{}).(*Exchange); ok {
		return x
	}
	return &Exchange{Route: unmatched}
}

// ShowEvents tells the release hooks that the answer shows n events.
func ShowEvents(ctx context.Context, n int) { ExchangeOf(ctx).Events += n }

// ShowPosition tells the release hooks that the answer shows what has this position.
func ShowPosition(ctx context.Context, position int64) {
	x := ExchangeOf(ctx)
	if x.Shown == nil {
		x.Shown = &Positions{position, position}
	}
	x.Shown.First, x.Shown.Last = min(x.Shown.First, position), max(x.Shown.Last, position)
}

// maxOpened is how many keys an exchange names; the last element is then "…".
const maxOpened = 1000

// ShowOpened tells the release hooks which keys the answer opened something with.
func ShowOpened(ctx context.Context, keys []string) {
	x := ExchangeOf(ctx)
	if x.opened == nil {
		x.opened = map[string]bool{}
	}
	for _, key := range keys {
		switch {
		case x.opened[key] || len(x.Opened) == maxOpened:
		case len(x.Opened) == maxOpened-1:
			x.Opened = append(x.Opened, "…")
		default:
			x.opened[key], x.Opened = true, append(x.Opened, key)
		}
	}
}

// ShowSubject tells the release hooks whom the request is about.
func ShowSubject(ctx context.Context, hash string) { ExchangeOf(ctx).Subject = hash }

// IsPrivate reports whether an answer is for its principal alone. w is the writer that a handler was given;
// any other writer's answer is taken for private.
func IsPrivate(w http.ResponseWriter) bool {
	held, ok := findHeld(w)
	return !ok || held.exchange.Private
}

func (s *Server) newExchange(r *http.Request) (*Exchange, *http.Request) {
	x := &Exchange{CorrelationID: correlationID(r.Header), Route: unmatched, Phase: PhaseRequest, start: time.Now(), limits: s.limits}
	if x.address = s.proxies.client(r); x.address.IsValid() {
		x.RemoteAddr = x.address.String()
	}
	ctx := logging.WithCorrelationID(r.Context(), x.CorrelationID)
	if s.tracing != nil {
		ctx = s.beginSpan(ctx, x, r)
	}
	x.Request = r.WithContext(context.WithValue(ctx, exchangeKey{}, x))
	return x, x.Request
}

// correlationID takes the caller's id where it sent exactly one that fits, and makes one elsewhere: what
// goes on every log line must not be able to forge one.
func correlationID(h http.Header) string {
	if sent := h.Values(CorrelationHeader); len(sent) == 1 && fitsCorrelation(sent[0]) {
		return sent[0]
	}
	var b [16]byte
	_, _ = rand.Read(b[:]) // never fails (crypto/rand)
	return hex.EncodeToString(b[:])
}

func fitsCorrelation(id string) bool {
	if len(id) < 1 || len(id) > 128 {
		return false
	}
	for i := range len(id) {
		switch c := id[i]; {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9':
		case c == '.', c == '_', c == ':', c == '-':
		default:
			return false
		}
	}
	return true
}
