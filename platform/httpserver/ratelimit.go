package httpserver

import (
	"context"
	"fmt"
	"math"
	"net/http"
	"net/netip"
	"strconv"
	"sync"
	"time"

	"audittrail/platform/errs"
)

// limiter is a token bucket for each key: a bucket holds what comes in within a second, and at least one token. It
// is nil where there is no limit.
type limiter[K comparable] struct {
	rate, size float64 // tokens a second, and those of a full bucket
	now        func() time.Time

	mu      sync.Mutex // guards all below
	buckets map[K]bucket
	swept   time.Time
}

type bucket struct {
	tokens float64
	at     time.Time // when tokens was true
}

// newLimiter makes a limiter of as many times the rate; nil where that is 0.
func newLimiter[K comparable](rate, times float64) *limiter[K] {
	if rate == 0 {
		return nil
	}
	return &limiter[K]{rate: times * rate, size: times * max(1, rate), now: time.Now, buckets: map[K]bucket{}}
}

// take takes a token from the key's bucket. It returns how many are left, how long it is until the bucket is full or,
// where it was empty, until it has a token again; and whether there was one.
func (l *limiter[K]) take(key K) (left float64, wait time.Duration, ok bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := l.now()
	l.sweep(now)
	b, known := l.buckets[key]
	tokens := l.size
	if known {
		tokens = min(l.size, b.tokens+l.rate*now.Sub(b.at).Seconds())
	}
	if tokens < 1 {
		return tokens, l.until(1 - tokens), false
	}
	tokens--
	l.buckets[key] = bucket{tokens, now}
	return tokens, l.until(l.size - tokens), true
}

func (l *limiter[K]) until(tokens float64) time.Duration {
	return time.Duration(tokens / l.rate * float64(time.Second))
}

// sweep forgets full buckets, once in the time that an empty one takes to fill: a key without a bucket has a full one.
// What is kept is therefore bounded by the requests of two such times.
func (l *limiter[K]) sweep(now time.Time) {
	fill := l.until(l.size)
	if now.Sub(l.swept) < fill {
		return
	}
	l.swept = now
	for key, b := range l.buckets {
		if now.Sub(b.at) >= fill {
			delete(l.buckets, key)
		}
	}
}

// allStrangers is how many times the limit of one address all addresses together have.
const allStrangers = 50

// SharedLimit counts requests of all processes: token buckets with names. An error says nothing about a bucket.
type SharedLimit interface {
	Take(ctx context.Context, name string, rate, size float64) (left float64, ok bool, err error)
}

// limits are http.rate_limit and http.rate_limit_address.
type limits struct {
	shared     SharedLimit // of principals; nil: each process counts for itself
	principals *limiter[string]
	addresses  *limiter[netip.Prefix]
	strangers  *limiter[struct{}] // all addresses together
}

func newLimits(o Options, shared SharedLimit) limits {
	return limits{
		shared:     shared,
		principals: newLimiter[string](o.RateLimit, 1),
		addresses:  newLimiter[netip.Prefix](o.RateLimitAddress, 1),
		strangers:  newLimiter[struct{}](o.RateLimitAddress, allStrangers),
	}
}

var (
	errTooMany  = errs.New(errs.TooMany, "rate_limited", "you have sent more requests than you may; try again after the time that Retry-After names")
	errStranger = errs.New(errs.TooMany, "rate_limited", "too many requests without a valid token; try again after the time that Retry-After names")
)

// Accept notes whose credential a request has shown. It is an error where that principal has sent too many requests.
func (x *Exchange) Accept(principal string) error {
	x.Principal, x.Private = principal, true
	l := x.limits.principals
	if l == nil {
		return nil
	}
	left, wait, ok := x.limits.takeOf(x.Request.Context(), principal)
	x.quota = fmt.Sprintf(`"principal";r=%d;t=%d`, int(left), seconds(wait))
	if !ok {
		x.retryAfter = seconds(wait)
		return errTooMany
	}
	return nil
}

// takeOf takes a token of a principal: of the bucket that processes share or, where that can't be asked, of this one's.
func (l limits) takeOf(ctx context.Context, principal string) (left float64, wait time.Duration, ok bool) {
	own := l.principals
	if l.shared == nil {
		return own.take(principal)
	}
	left, ok, err := l.shared.Take(ctx, principal, own.rate, own.size)
	switch {
	case err != nil:
		return own.take(principal)
	case !ok:
		return left, own.until(1 - left), false
	default:
		return left, own.until(own.size - left), true
	}
}

// stranger returns err, the refusal of a request, or another one where too many requests without a credential were
// refused. An address that has its share of them takes none of the share of others.
func (l limits) stranger(x *Exchange, err *errs.Error) *errs.Error {
	if l.addresses == nil || x.Principal != "" || status(err.Kind) >= http.StatusInternalServerError {
		return err
	}
	_, wait, ok := l.addresses.take(network(x.address))
	if ok {
		_, wait, ok = l.strangers.take(struct{}{})
	}
	if !ok {
		x.retryAfter = seconds(wait)
		return errStranger
	}
	return err
}

// network is what counts as one client: the address, or its /64 in IPv6, of which a client has all addresses.
func network(a netip.Addr) netip.Prefix {
	bits := a.BitLen()
	if a.Is6() {
		bits = 64
	}
	p, _ := a.Prefix(bits) // fails for the zero Addr alone, whose prefix is the zero Prefix
	return p
}

// quotaHeaders tells a principal of its limit (draft-ietf-httpapi-ratelimit-headers-10).
func (s *Server) quotaHeaders(h http.Header, x *Exchange) {
	if x.quota == "" {
		return
	}
	l := x.limits.principals
	quota, window := int(l.size), 1
	if l.rate < 1 {
		window = seconds(l.until(1))
	}
	h.Set("RateLimit-Policy", `"principal";q=`+strconv.Itoa(quota)+";w="+strconv.Itoa(window))
	h.Set("RateLimit", x.quota)
}

// seconds rounds up: who comes back after that many is not too early.
func seconds(d time.Duration) int { return int(math.Ceil(d.Seconds())) }
