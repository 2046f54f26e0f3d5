package store

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"

	"audittrail/modules/event"
	"audittrail/platform/errs"
)

const (
	// PageBytes is where a page ends that has not reached its limit, in bytes of JSON, about.
	PageBytes = 16 << 20

	// ScanBudget is how long a page of a list is looked for, about.
	ScanBudget = time.Second

	// acquireTimeout is how long a read waits for a connection before it says that the store is away.
	acquireTimeout = 5 * time.Second

	// readTimeout bounds a read of several statements; each one is bounded by statement_timeout.
	readTimeout = 20 * time.Second
)

// Order is the order of a list.
type Order int

// The orders, by (timestamp, id).
const (
	Descending Order = iota // newest first
	Ascending
)

// Page says which part of a list is wanted.
type Page struct {
	Order  Order
	Limit  int    // at least 1
	Cursor string // "" for the first page
	bytes  int    // where it ends at the latest; the reader's own bound where 0
}

// EventPage is a part of a list of events.
type EventPage struct {
	Items []event.Stored
	Next  string // the next page's cursor; "" where this one is the last
}

// ReaderOptions are what a Reader needs.
type ReaderOptions struct {
	// Pool is of the role audittrail_api, with a statement_timeout, jit=off, and
	// max_parallel_workers_per_gather=0: lists rely on Append keeping its order.
	Pool       *pgxpool.Pool
	Now        func() time.Time // time.Now where nil
	PageBytes  int              // PageBytes where 0
	ScanBudget time.Duration    // ScanBudget where 0

	// Scoped makes a read fail whose context says no scope: see WithScope. It is for readers that answer callers.
	Scoped bool
}

// Reader answers the API's questions. It is safe for concurrent use.
//
// Its errors are *errs.Error where the caller can do something about them: NotFound, Invalid (a cursor),
// TooExpensive (a statement took too long), Unavailable (PostgreSQL is away).
type Reader struct {
	pool       *pgxpool.Pool
	now        func() time.Time
	pageBytes  int
	scanBudget time.Duration
	scoped     bool
	spans      spanCache
	totals     totalsCache
}

// NewReader makes a Reader. It opens no connection.
func NewReader(o ReaderOptions) *Reader {
	if o.Now == nil {
		o.Now = time.Now
	}
	return &Reader{pool: o.Pool, now: o.Now, pageBytes: cmp.Or(o.PageBytes, PageBytes), scanBudget: cmp.Or(o.ScanBudget, ScanBudget), scoped: o.Scoped}
}

// Ping reports whether events can be read, by reading one as a list does: a server may answer and have
// settings that no row can be read with. Where every connection is at work it reads nothing: a process that
// has much to do must not look like one that can do nothing, or its load falls on the others.
func (r *Reader) Ping(ctx context.Context) error {
	if use := r.pool.Stat(); use.AcquiredConns() == use.MaxConns() {
		return nil
	}
	_, err := r.Events(WithScope(ctx, Everything()), Filter{}, Page{Limit: 1})
	return err
}

// read lends f a connection, and gives its error a public face.
func (r *Reader) read(ctx context.Context, what string, f func(context.Context, *pgx.Conn) error) error {
	if r.scoped && scopesOf(ctx) == nil {
		return fmt.Errorf("%s: %w", what, errNoScope)
	}
	bounded, cancel := context.WithTimeout(ctx, readTimeout)
	defer cancel()
	wait, stop := context.WithTimeout(bounded, acquireTimeout)
	defer stop()
	conn, err := r.pool.Acquire(wait)
	if err != nil {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		return errAway.Because(fmt.Errorf("%s: acquire connection: %w", what, err))
	}
	defer conn.Release()
	if err := f(bounded, conn.Conn()); err != nil {
		return publicError(ctx, conn.Conn().IsClosed(), fmt.Errorf("%s: %w", what, err))
	}
	return nil
}

var (
	errAway      = errs.New(errs.Unavailable, "unavailable", "the event store can't be reached right now; try again later")
	errLocked    = errs.New(errs.Unavailable, "unavailable", "the event store is locked right now; try again later")
	errExpensive = errs.New(errs.TooExpensive, "query_too_expensive",
		"the search takes longer than is granted; narrow it, for example by from and to or by an aggregate")
)

// publicError tells apart what the caller can do: nothing, wait, or ask for less. closed says that the
// connection broke.
func publicError(ctx context.Context, closed bool, err error) error {
	var (
		known *errs.Error
		pg    *pgconn.PgError
	)
	switch {
	case errors.As(err, &known):
		return known
	case ctx.Err() != nil: // the caller left
		return ctx.Err()
	case errors.Is(err, context.DeadlineExceeded):
		return errExpensive.Because(err)
	case !errors.As(err, &pg):
		if closed {
			return errAway.Because(err)
		}
		return err
	case pg.Code == "57014": // query_canceled, by statement_timeout
		return errExpensive.Because(err)
	case pg.Code == "55P03": // lock_not_available, by lock_timeout: asking for less would not help
		return errLocked.Because(err)
	case strings.HasPrefix(pg.Code, "08"), strings.HasPrefix(pg.Code, "57P"), strings.HasPrefix(pg.Code, "53"):
		return errAway.Because(err)
	default:
		return err
	}
}

// errCorrupt is a row that no append could have written.
var errCorrupt = errors.New("the event store holds a row that can't be")
