package access

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"net/url"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"audittrail/modules/store"
	"audittrail/platform/errs"
	"audittrail/platform/httpserver"
)

const (
	// maxWaiting is how many entries may wait for the commit before theirs. Beyond it requests are refused, or go
	// without an entry, as `access.mode` says.
	maxWaiting = 16_384

	// maxTogether is how many entries one commit takes.
	maxTogether = 4096

	// commitTimeout bounds a commit: whoever waits for it holds an answer back.
	commitTimeout = 5 * time.Second

	// summaryEvery is how often one entry stands for all requests that were refused beyond the limit of their
	// address: whoever sends many must not fill the log.
	summaryEvery = time.Minute
)

// Appender stores entries durably, all of them or none. It is a [store.AccessLog].
type Appender interface {
	Append(ctx context.Context, entries []store.AccessEntry) error
}

// Log writes an entry for every exchange before its answer leaves. One writer takes what gathered while it committed
// last: no request waits for a timer, and many share a commit.
type Log struct {
	appender Appender
	strict   bool
	log      *slog.Logger
	now      func() time.Time
	failures prometheus.Counter
	beyond   atomic.Int64 // requests beyond the limit of their address that no entry stands for yet

	mu      sync.Mutex
	waiting []waiter
	stopped bool
	wake    chan struct{} // holds one
}

type waiter struct {
	entry store.AccessEntry
	done  chan<- error
}

// LogOptions are what a Log is made with.
type LogOptions struct {
	Appender Appender
	Mode     string // as Options.Mode
	Log      *slog.Logger
	Metrics  prometheus.Registerer
	Now      func() time.Time // time.Now where nil
}

// NewLog makes a log. Nothing is written before Run.
func NewLog(o LogOptions) (*Log, error) {
	l := &Log{
		appender: o.Appender, strict: o.Mode != modeBestEffort, log: o.Log, now: o.Now, wake: make(chan struct{}, 1),
		failures: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "audittrail_access_log_failures_total", Help: "Entries of the access log that could not be written.",
		}),
	}
	if l.now == nil {
		l.now = time.Now
	}
	if o.Metrics == nil {
		return l, nil
	}
	return l, o.Metrics.Register(l.failures)
}

// Hook is the release hook: the answer leaves when its entry is durable. Where that fails it is withheld, or counted
// where `access.mode` is best_effort.
func (l *Log) Hook(ctx context.Context, x *httpserver.Exchange) error {
	switch {
	case x.Open:
		return nil
	case x.Status == http.StatusTooManyRequests && x.Principal == "":
		l.beyond.Add(1)
		return nil
	}
	e, err := entryOf(x, l.now())
	if err == nil {
		err = l.write(e)
	}
	if err == nil {
		return nil
	}
	l.failures.Inc()
	l.log.ErrorContext(ctx, "an entry of the access log could not be written", slog.Any("cause", err), slog.String("correlationId", x.CorrelationID))
	if !l.strict {
		return nil
	}
	return err
}

var (
	errBusy    = errs.New(errs.Unavailable, "unavailable", "too many entries of the access log wait to be written")
	errStopped = errors.New("the access log is closed")
)

// write returns when the entry is durable, or can't be made so. The caller's leaving changes nothing: what was asked for
// is logged all the same.
func (l *Log) write(e store.AccessEntry) error {
	done := make(chan error, 1)
	l.mu.Lock()
	switch {
	case l.stopped:
		l.mu.Unlock()
		return errStopped
	case len(l.waiting) >= maxWaiting:
		l.mu.Unlock()
		return errBusy
	}
	l.waiting = append(l.waiting, waiter{e, done})
	l.mu.Unlock()
	select {
	case l.wake <- struct{}{}:
	default:
	}
	return <-done
}

// Run writes entries until ctx is cancelled, and then those that wait. It MUST outlast the server whose hook the log is.
func (l *Log) Run(ctx context.Context) {
	ticker := time.NewTicker(summaryEvery)
	defer ticker.Stop()
	for {
		select {
		case <-ticker.C:
			l.summarise(ctx)
		case <-l.wake:
			l.commitAll(ctx)
		case <-ctx.Done():
			l.summarise(ctx)
			l.mu.Lock()
			l.stopped = true
			l.mu.Unlock()
			l.commitAll(ctx)
			return
		}
	}
}

// summarise writes the entry of the requests beyond their addresses' limits, if there were any. Its query says how
// many.
func (l *Log) summarise(ctx context.Context) {
	n := l.beyond.Swap(0)
	if n == 0 {
		return
	}
	x := &httpserver.Exchange{Request: &http.Request{Method: http.MethodGet, URL: &url.URL{}}, Route: summaryRoute, Phase: httpserver.PhaseRequest,
		Status: http.StatusTooManyRequests, Query: map[string][]string{"refused": {strconv.FormatInt(n, 10)}}}
	e, err := entryOf(x, l.now())
	if err == nil {
		bounded, cancel := context.WithTimeout(context.WithoutCancel(ctx), commitTimeout)
		defer cancel()
		err = l.appender.Append(bounded, []store.AccessEntry{e})
	}
	if err != nil {
		l.beyond.Add(n) // the next one says it
		l.failures.Inc()
		l.log.ErrorContext(ctx, "the summary of refused requests could not be written to the access log", slog.Any("cause", err))
	}
}

// summaryRoute is the route of entries that stand for several requests.
const summaryRoute = "summary"

// commitAll commits until nothing waits.
func (l *Log) commitAll(ctx context.Context) {
	for {
		together := l.take()
		if len(together) == 0 {
			return
		}
		entries := make([]store.AccessEntry, len(together))
		for i, w := range together {
			entries[i] = w.entry
		}
		bounded, cancel := context.WithTimeout(context.WithoutCancel(ctx), commitTimeout)
		err := l.appender.Append(bounded, entries)
		cancel()
		for _, w := range together {
			w.done <- err
		}
	}
}

func (l *Log) take() []waiter {
	l.mu.Lock()
	defer l.mu.Unlock()
	n := min(len(l.waiting), maxTogether)
	together := l.waiting[:n:n]
	l.waiting = append([]waiter(nil), l.waiting[n:]...)
	return together
}
