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
	"audittrail/modules/protect"
	"audittrail/platform/errs"
)

const (
	// PageBytes bounds a page, in bytes of JSON, roughly.
	PageBytes = 16 << 20

	// ScanBudget is how long the search for a page of a list takes at most, roughly.
	ScanBudget = time.Second

	// acquireTimeout is how long a read waits for a connection before it fails as Unavailable.
	acquireTimeout = 5 * time.Second

	// readTimeout bounds a read of several statements. statement_timeout bounds each one.
	readTimeout = 20 * time.Second
)

// Order is the order of a list.
type Order int

// The orders, by (timestamp, id).
const (
	Descending Order = iota // newest first
	Ascending
)

// Page selects a part of a list.
type Page struct {
	Order  Order
	Limit  int    // at least 1
	Cursor string // "" for the first page
	bytes  int    // where it ends at the latest; 0 for the reader's own bound
}

// EventPage is a part of a list of events.
type EventPage struct {
	Items []event.Stored
	Next  string // the next page's cursor; "" on the last page
}

// ReaderOptions are what a Reader needs.
type ReaderOptions struct {
	// Pool is of the role audittrail_api, with a statement_timeout, jit=off, and
	// max_parallel_workers_per_gather=0: lists rely on Append keeping its order.
	Pool       *pgxpool.Pool
	Now        func() time.Time // time.Now if nil
	PageBytes  int              // PageBytes if 0
	ScanBudget time.Duration    // ScanBudget if 0

	// Replicas are read by contexts with a seat; nil if there are none. See WithSeat.
	Replicas *Replicas

	// Cache keeps tiles of the ledger, and events that were asked for by their ids; nil for none.
	Cache Cache

	// Scoped makes a read fail if its context has no scope: see WithScope. It is for readers that answer callers.
	Scoped bool

	Opener   *protect.Opener   // of sealed values; nil: nobody sees them
	Searcher *protect.Searcher // for sealed values; nil: nobody finds them
}

// Reader answers the API's questions. It is safe for concurrent use.
//
// Its errors are *errs.Error if the caller can do something about them: NotFound, Invalid (a cursor), TooExpensive (a
// statement took too long), Unavailable (PostgreSQL can't be reached).
type Reader struct {
	pool       *pgxpool.Pool
	replicas   *Replicas // nil if there are none
	now        func() time.Time
	pageBytes  int
	scanBudget time.Duration
	scoped     bool
	opener     *protect.Opener
	searcher   *protect.Searcher
	spans      spanCache
	totals     totalsCache
	cached     cached
}

// NewReader returns a Reader. It opens no connection.
func NewReader(o ReaderOptions) *Reader {
	if o.Now == nil {
		o.Now = time.Now
	}
	return &Reader{
		pool: o.Pool, replicas: o.Replicas, now: o.Now, pageBytes: cmp.Or(o.PageBytes, PageBytes), scanBudget: cmp.Or(o.ScanBudget, ScanBudget),
		scoped: o.Scoped, opener: o.Opener, searcher: o.Searcher, cached: cached{cache: o.Cache},
	}
}

// Ping reports whether events can be read. It reads one as a list does, since a server may answer but have settings
// with which no row can be read. If all connections are in use, it reads nothing: a busy process must not look like
// a broken one, or its load moves to the others.
func (r *Reader) Ping(ctx context.Context) error {
	if use := r.pool.Stat(); use.AcquiredConns() == use.MaxConns() {
		return nil
	}
	_, err := r.Events(WithScope(ctx, Everything()), Filter{}, Page{Limit: 1})
	return err
}

// read calls f with a connection. It returns f's error as a public one. It may call f twice.
func (r *Reader) read(ctx context.Context, what string, f func(context.Context, *pgx.Conn) error) error {
	return r.readFor(ctx, what, readTimeout, f)
}

// readFor is read for statements that may take this long together.
func (r *Reader) readFor(ctx context.Context, what string, most time.Duration, f func(context.Context, *pgx.Conn) error) error {
	if r.scoped && scopesOf(ctx) == nil {
		return fmt.Errorf("%s: %w", what, errNoScope)
	}
	bounded, cancel := context.WithTimeout(ctx, most)
	defer cancel()
	if s := seatOf(ctx); s != nil {
		return r.readSeated(ctx, bounded, s, what, f)
	}
	return readFrom(ctx, bounded, r.pool, what, f)
}

// readFrom calls f with a connection of the pool, within bounded. ctx is the caller's.
func readFrom(ctx, bounded context.Context, pool *pgxpool.Pool, what string, f func(context.Context, *pgx.Conn) error) error {
	wait, stop := context.WithTimeout(bounded, acquireTimeout)
	defer stop()
	conn, err := pool.Acquire(wait)
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

// publicError returns an error that tells the caller to wait, or to ask for less, if that helps. closed says that the
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
	case pg.Code == "55P03": // lock_not_available, by lock_timeout: asking for less does not help
		return errLocked.Because(err)
	case strings.HasPrefix(pg.Code, "08"), strings.HasPrefix(pg.Code, "57P"), strings.HasPrefix(pg.Code, "53"):
		return errAway.Because(err)
	default:
		return err
	}
}

// errCorrupt says that no append can have written a row.
var errCorrupt = errors.New("the event store holds a row that can't be")
