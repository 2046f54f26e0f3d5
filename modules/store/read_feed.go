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

// feedBranches is how many batches one statement of the feed reads.
const feedBranches = 32

// FeedPage is a part of the feed.
type FeedPage struct {
	Items     []event.Stored
	ScannedTo int64 // the highest position that was examined; what was asked for where there is nothing new
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

// Head is the position of the event that was committed last; -1 where there is none.
func (r *Reader) Head(ctx context.Context) (int64, error) {
	head := int64(-1)
	err := r.read(ctx, "read head", func(ctx context.Context, conn *pgx.Conn) error {
		err := conn.QueryRow(ctx, headSQL).Scan(&head)
		if errors.Is(err, pgx.ErrNoRows) {
			return nil
		}
		return err
	})
	return head, err
}

// slice is the part of a batch that a page of the feed may show.
type slice struct {
	first, last      int64 // positions
	lowest, highest  int64 // row ids
	earliest, latest time.Time
}

// Feed answers up to limit events whose positions are greater than after, which may be -1, in the order
// of their positions. Batches are numbered under a lock that is held until their commit is seen, so what
// is there to see never has a gap that fills later. Positions whose events were archived are passed by.
//
// An after beyond the last position is refused with Conflict: a follower that read on from there would pass by
// all that comes before it. The end is read by the same statement as the page, never from a cache.
func (r *Reader) Feed(ctx context.Context, after int64, limit int) (FeedPage, error) {
	page := FeedPage{Items: []event.Stored{}, ScannedTo: after}
	begin := min(after, math.MaxInt64-int64(limit)-2) // beyond any position, and no sum with it overflows
	err := r.read(ctx, "read feed", func(ctx context.Context, conn *pgx.Conn) error {
		slices, more, end, err := feedSlices(ctx, conn, begin, limit)
		if err != nil {
			return err
		}
		if len(slices) == 0 {
			if after > end {
				return beyondEnd(end)
			}
		}
		rows := &collector{limit: limit, bytes: r.pageBytes}
		for len(slices) > 0 && !rows.full {
			n := min(feedBranches, len(slices))
			if err := feedRows(ctx, conn, slices[:n], limit-len(rows.rows), rows); err != nil {
				return err
			}
			if !rows.full {
				page.ScannedTo, slices = slices[n-1].last, slices[n:]
			}
		}
		for i := range rows.rows {
			page.Items = append(page.Items, rows.rows[i].stored)
		}
		if rows.full {
			page.ScannedTo = page.Items[len(page.Items)-1].Position
		}
		page.More = more || rows.full
		return nil
	})
	return page, err
}

func beyondEnd(end int64) error {
	return errs.New(errs.Conflict, "position_beyond_end",
		"lies beyond the end of the log, which is at position %d: the log is older than what you have seen", end).InField("after")
}

// feedSlices answers the batches that hold the positions after+1 … after+limit, without what lies outside,
// whether there are positions beyond them, and the last position that was seen; -1 where there is none.
func feedSlices(ctx context.Context, conn *pgx.Conn, after int64, limit int) (_ []slice, more bool, last int64, _ error) {
	rows, err := conn.Query(ctx, sliceSQL, after+1, limit+1)
	if err != nil {
		return nil, false, 0, err
	}
	defer rows.Close()
	var (
		slices []slice
		next   = after + 1
		until  = after + int64(limit)
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
		if next > until {
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
func feedRows(ctx context.Context, conn *pgx.Conn, slices []slice, limit int, page *collector) error {
	s := &selection{where: &conditions{}, order: "id", limit: limit}
	for _, part := range slices {
		s.branches = append(s.branches, fmt.Sprintf("timestamp BETWEEN '%s' AND '%s' AND id BETWEEN %d AND %d",
			event.FormatTime(part.earliest.UTC()), event.FormatTime(part.latest.UTC()), part.lowest, part.highest))
	}
	return s.readInto(ctx, conn, page)
}
