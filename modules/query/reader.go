package query

import (
	"context"
	"iter"
	"time"

	"audittrail/modules/event"
	"audittrail/modules/ledger"
	"audittrail/modules/store"
)

// Reader is what the handlers read: a [store.Reader], where each method says what it answers.
type Reader interface {
	stateReader
	traceReader
	deadLetterReader
	AccessEntries(ctx context.Context, f store.AccessFilter, p store.Page) (store.AccessPage, error)
	AccessEntry(ctx context.Context, position int64) (store.StoredAccess, error)
	Offsets(ctx context.Context) ([]store.Accounting, error)
	Ledger(log ledger.Log) *store.LedgerReader
}

type eventReader interface {
	header
	Event(ctx context.Context, id event.ID) (event.Stored, error)
	Events(ctx context.Context, f store.Filter, p store.Page) (store.EventPage, error)
	Count(ctx context.Context, f store.Filter) (n int64, isCapped bool, err error)
	Estimate(ctx context.Context, f store.Filter) (int64, error)
	Feed(ctx context.Context, f store.Filter, after int64, limit int) (store.FeedPage, error)
	FeedPart(ctx context.Context, f store.Filter, after int64) (store.FeedPage, error)
	CursorBehind(ctx context.Context, id event.ID, f store.Filter, order store.Order) (string, error)
	Export(ctx context.Context, f store.Filter, order store.Order, cursor string, size int64) iter.Seq2[[]event.Stored, error]
}

type stateReader interface {
	eventReader
	Snapshot(ctx context.Context, of store.SnapshotOf, until time.Time) (store.Snapshot, bool, error)
	SaveSnapshot(ctx context.Context, of store.SnapshotOf, s store.Snapshot) error
}

type traceReader interface {
	Correlated(ctx context.Context, correlationID string, limit, bytes int) (store.TracePage, error)
	Known(ctx context.Context, ids []event.ID) (map[event.ID]bool, error)
}

type deadLetterReader interface {
	DeadLetters(ctx context.Context, f store.DeadLetterFilter, p store.Page) (store.DeadLetterPage, error)
	DeadLetter(ctx context.Context, id int64) (store.DeadLetter, error)
	SelectDeadLetters(ctx context.Context, f store.DeadLetterFilter, limit int) (store.Selection, error)
	PendingDeadLetters(ctx context.Context, ids []int64) ([]store.DeadLetter, error)
	ReadKey(ctx context.Context, id int64) iter.Seq2[[]byte, error]
	ReadValue(ctx context.Context, id int64) iter.Seq2[[]byte, error]
	ReadHeaders(ctx context.Context, id int64) iter.Seq2[store.LongHeader, error]
}
