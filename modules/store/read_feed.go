package store

import (
	"context"
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/jackc/pgx/v5"

	"audittrail/modules/event"
	"audittrail/platform/errs"
)

const (
	// feedBranches is how many batches one statement of the feed reads.
	feedBranches = 32

	// feedBatches is how many batches one statement finds at most.
	feedBatches = 1000

	// feedScan is how many positions one page examines at most. It ends earlier where that takes longer than the
	// scan budget.
	feedScan = 100_000

	// What a part of a stream holds at most.
	partLimit = 250
	partBytes = 1 << 20
)

// FeedPage is a part of the feed.
type FeedPage struct {
	Items     []event.Stored
	ScannedTo int64 // the highest position that was examined; what was asked for where there is nothing beyond it
	More      bool  // there are positions beyond it already
}

// By ledger_batches' primary key. The batches that hold positions from $1 on, $2 of them at most.
const sliceSQL = `
	SELECT first_position, count, batch, earliest, latest FROM ledger_batches
	WHERE log = 'events' AND first_position >= coalesce(
		(SELECT first_position FROM ledger_batches WHERE log = 'events' AND first_position <= $1
		 ORDER BY first_position DESC LIMIT 1), 0)
	ORDER BY first_position LIMIT $2`

// By ledger_batches' primary key.
const headSQL = `SELECT first_position + count - 1 FROM ledger_batches
	WHERE log = 'events' ORDER BY first_position DESC LIMIT 1`

// Head returns the position of the event that was committed last, or -1 if there is none.
func (r *Reader) Head(ctx context.Context) (int64, error) {
	head := int64(-1)
	err := r.read(ctx, "read head", func(ctx context.Context, conn *pgx.Conn) (err error) {
		head, err = readHead(ctx, conn)
		return err
	})
	seatOf(ctx).raise(head)
	return head, err
}

func readHead(ctx context.Context, conn *pgx.Conn) (int64, error) {
	head := int64(-1)
	err := conn.QueryRow(ctx, headSQL).Scan(&head)
	if errors.Is(err, pgx.ErrNoRows) {
		return -1, nil
	}
	return head, err
}

// slice is the part of a batch that a page of the feed may show.
type slice struct {
	first, last      int64 // positions
	lowest, highest  int64 // row ids
	earliest, latest time.Time
}

// Feed answers up to limit events that fit and whose positions are greater than after, which may be -1, in
// the order of their positions. Batches are numbered under a lock that is held until their commit is seen, so
// what is there to see never has a gap that fills later. Positions whose events do not fit, or were archived,
// are passed by: a page may be empty and yet end further on.
//
// An after beyond the last position is refused with Conflict: a follower that read on from there would pass by
// all that comes before it. The end is read by the same statement as the page, never from a cache.
func (r *Reader) Feed(ctx context.Context, f Filter, after int64, limit int) (FeedPage, error) {
	return r.feed(ctx, f, after, limit, r.pageBytes)
}

// FeedPart is Feed for a stream, which sends what it has read and asks again: there may be many of them, so
// each holds little.
func (r *Reader) FeedPart(ctx context.Context, f Filter, after int64) (FeedPage, error) {
	return r.feed(ctx, f, after, partLimit, partBytes)
}

func (r *Reader) feed(ctx context.Context, f Filter, after int64, limit, bytes int) (FeedPage, error) {
	page := FeedPage{Items: []event.Stored{}, ScannedTo: min(after, math.MaxInt64-feedScan-2)} // beyond any position, and no sum with it overflows
	start := page
	f, err := r.searching(ctx, f)
	if err != nil {
		return page, err
	}
	var rows *collector
	err = r.read(ctx, "read feed", func(ctx context.Context, conn *pgx.Conn) error {
		page, rows = start, &collector{limit: limit, bytes: bytes}
		begun, scanEnd := time.Now(), page.ScannedTo+feedScan
		// What fits may be rare: each window is four times the one before.
		for window := int64(limit); ; window = min(4*window, feedScan) {
			slices, more, end, err := feedSlices(ctx, conn, page.ScannedTo, min(page.ScannedTo+window, scanEnd))
			if err != nil {
				return err
			}
			if page.ScannedTo > end {
				return beyondEnd(end)
			}
			if err := rows.scan(ctx, conn, f, slices, &page); err != nil {
				return err
			}
			page.More = more || len(slices) > 0 && page.ScannedTo < slices[len(slices)-1].last
			if !page.More || rows.filled() || page.ScannedTo == scanEnd || time.Since(begun) > r.scanBudget {
				break
			}
		}
		return nil
	})
	if err != nil {
		return page, err
	}
	page.Items, err = r.shown(ctx, rows.rows)
	return page, err
}

// scan reads what the slices hold, and moves the page on to where it has come.
func (c *collector) scan(ctx context.Context, conn *pgx.Conn, f Filter, slices []slice, page *FeedPage) error {
	for len(slices) > 0 && !c.filled() {
		n := min(feedBranches, len(slices))
		if err := feedRows(ctx, conn, f, slices[:n], c.limit-len(c.rows), c); err != nil {
			return err
		}
		page.ScannedTo, slices = slices[n-1].last, slices[n:]
	}
	if c.filled() {
		page.ScannedTo = c.rows[len(c.rows)-1].stored.Position
	}
	return nil
}

// filled reports that no further row has a place.
func (c *collector) filled() bool { return c.full || len(c.rows) == c.limit }

func beyondEnd(end int64) error {
	return errs.New(errs.Conflict, "position_beyond_end",
		"lies beyond the end of the log, which is at position %d: the log is older than what you have seen", end).InField("after")
}

// feedSlices answers the batches that hold the positions after+1 … until, or the first of them, without what
// lies outside, whether there are positions beyond them, and the last position that was seen; -1 where there is
// none.
func feedSlices(ctx context.Context, conn *pgx.Conn, after, until int64) (_ []slice, more bool, last int64, _ error) {
	most := int(min(until-after, feedBatches))
	rows, err := conn.Query(ctx, sliceSQL, after+1, most+1)
	if err != nil {
		return nil, false, 0, err
	}
	defer rows.Close()
	var (
		slices []slice
		next   = after + 1
		end    = int64(-1) // of the batch before, where the next one has to begin: positions are dense
	)
	for rows.Next() {
		var (
			s                   slice
			first, count, batch int64
		)
		if err := rows.Scan(&first, &count, &batch, &s.earliest, &s.latest); err != nil {
			return nil, false, 0, err
		}
		if end < 0 { // there is none before: the first may begin before what is asked for, and not behind it
			end = min(first, next)
		}
		if first != end {
			return nil, false, 0, fmt.Errorf("ledger batch at %d, expected at %d: %w", first, end, errCorrupt)
		}
		end = first + count
		if next > until || len(slices) == most {
			more = true
			break
		}
		if end <= next { // after lies beyond all that there is
			continue
		}
		s.first, s.last = next, min(first+count-1, until)
		more = s.last < first+count-1
		s.lowest, s.highest = batch<<indexBits|(s.first-first), batch<<indexBits|(s.last-first)
		slices, next = append(slices, s), s.last+1
	}
	rows.Close()
	return slices, more, max(end, 0) - 1, rows.Err()
}

// feedRows reads the events of the slices into the page, one branch a batch: by the primary key where the
// batch is of one time, by the BRIN on id where it is spread over years. Bounds are literals of the
// ledger's own numbers and times, so that each branch is planned for its batch.
func feedRows(ctx context.Context, conn *pgx.Conn, f Filter, slices []slice, limit int, page *collector) error {
	s := &selection{where: f.where(), order: "id", limit: limit, whole: true}
	for _, part := range slices {
		s.branches = append(s.branches, fmt.Sprintf("timestamp BETWEEN '%s' AND '%s' AND id BETWEEN %d AND %d",
			event.FormatTime(part.earliest.UTC()), event.FormatTime(part.latest.UTC()), part.lowest, part.highest))
	}
	return s.readInto(ctx, conn, page)
}
