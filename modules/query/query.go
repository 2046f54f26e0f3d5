// Package query is the reading side of the API: the handlers of its paths over the event store's readers.
// The role api, which cmd/app assembles, serves them.
//
// It holds no SQL (package store does), writes no status for an error (platform/httpserver does), and
// checks no parameter that the specification can check (package httpapi does).
package query

import (
	"cmp"
	"context"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"audittrail/modules/event"
	"audittrail/modules/httpapi"
	"audittrail/modules/protect"
	"audittrail/modules/query/fold"
	"audittrail/modules/store"
	"audittrail/platform/errs"
	"audittrail/platform/httpserver"
)

// defaultLimit is how many items a page holds where the caller does not say.
const defaultLimit = 50

// Options are what the handlers are made with.
type Options struct {
	Reader Reader
	State  fold.Options // how states are folded

	Letters Letters // decides about dead letters

	// Kept is an error where Kafka does not have the value of one of the dead letters any more, which the event store
	// does not keep; nil: nobody can say.
	Kept func(ctx context.Context, letters []store.DeadLetter) error

	// Sealing seals values that are given for dead letters; nil where no fields are sealed.
	Sealing *protect.Letters

	// SnapshotEvery is after how many events of an aggregate its state is kept; 1,000 where 0.
	SnapshotEvery int

	// NoSnapshots keeps no states: where fields are sealed, they would hold values that were opened.
	NoSnapshots bool

	MaxWaits int                   // how many feeds wait or stream at once; half as many beyond them are held for a second
	Metrics  prometheus.Registerer // may be nil

	// Heartbeat is how often a stream of the feed says that it is there; 15 s where 0.
	Heartbeat time.Duration
}

// Handlers is the handler set of the reading paths.
type Handlers struct {
	reader  Reader
	head    *headWatch
	exports *httpserver.Slots // of exports
	waits   *httpserver.Slots // of feeds that wait or stream
	holds   chan struct{}     // one for each that found no place to wait, and is held a moment
	letters Letters
	sealing *protect.Letters
	kept    func(ctx context.Context, letters []store.DeadLetter) error
	faults  evidenceFaults
	rules   *fold.Rules   // of states
	beat    time.Duration // how often a stream of the feed says that it is there

	snapshotEvery int
}

// NewHandlers makes the handlers. An error is a rule of states that can't work, or a metric that is there
// already.
func NewHandlers(o Options) (*Handlers, error) {
	rules, err := fold.NewRules(o.State)
	if err != nil {
		return nil, err
	}
	faults, err := newEvidenceFaults(o.Metrics)
	if err != nil {
		return nil, err
	}
	every := cmp.Or(o.SnapshotEvery, snapshotEvery)
	if o.NoSnapshots {
		every = 0
	}
	return &Handlers{
		reader: o.Reader, letters: o.Letters, sealing: o.Sealing, kept: o.Kept, head: newHeadWatch(o.Reader), rules: rules, faults: faults,
		snapshotEvery: every, beat: cmp.Or(o.Heartbeat, heartbeat),
		exports: newExportSlots(), waits: newFeedSlots(o.MaxWaits), holds: make(chan struct{}, o.MaxWaits/2),
	}, nil
}

// Run tells waiting feeds of new events, until ctx is cancelled. From then on no feed waits: those that do
// are answered at once, and streams end. Whoever serves the handlers MUST run it.
func (h *Handlers) Run(ctx context.Context) { h.head.run(store.WithScope(ctx, store.Everything())) }

// show tells the access log which events the answer shows.
func show(ctx context.Context, events []event.Stored) {
	httpserver.ShowEvents(ctx, len(events))
	for i := range events {
		httpserver.ShowPosition(ctx, events[i].Position)
	}
}

func page(order store.Order, limit *httpapi.Limit, cursor *httpapi.Cursor) store.Page {
	p := store.Page{Order: order, Limit: defaultLimit}
	if limit != nil {
		p.Limit = int(*limit)
	}
	if cursor != nil {
		p.Cursor = *cursor
	}
	return p
}

// orderOf reads the order parameter of any list.
func orderOf[T ~string](given *T, otherwise store.Order) store.Order {
	switch {
	case given == nil:
		return otherwise
	case *given == "asc":
		return store.Ascending
	default:
		return store.Descending
	}
}

// textOf is an optional parameter's value; "" where it was not given.
func textOf[T ~string](given *T) string {
	if given == nil {
		return ""
	}
	return string(*given)
}

func invalid(field, detail string) *errs.Error {
	return errs.New(errs.Invalid, "invalid_parameter", "%s", detail).InField(field)
}
