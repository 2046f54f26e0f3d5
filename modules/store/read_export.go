package store

import (
	"context"
	"iter"
	"slices"
	"sync"

	"audittrail/modules/event"
	"audittrail/modules/protect"
)

// The pages of an export: about exportAim bytes of JSON each, so that a stream has something to send
// often and holds little, and never more than exportBytes.
const (
	exportFirst = 250 // events, while nothing is known of their size
	exportMost  = 1000
	exportAim   = 1 << 20
	exportBytes = 8 << 20
)

// exportPage is what Export reads ahead.
type exportPage struct {
	items  []event.Stored
	opened []protect.KeyID // keys that opened something of the page
	err    error
}

// Export answers all events that fit and whose positions are below size, in pages. Events that were
// committed before it began appear exactly once; so where size is of a checkpoint that was read before,
// the export is the log as the checkpoint has it. There is no transaction around the pages: a reader that
// takes them slowly holds no snapshot and no connection meanwhile. A page may be empty. An error ends it.
//
// It begins at the cursor, where there is one, and so goes on where another export of this size ended. While a page
// is used the next one is read, so that PostgreSQL and this process work at the same time.
func (r *Reader) Export(ctx context.Context, f Filter, order Order, cursor string, size int64) iter.Seq2[[]event.Stored, error] {
	return func(yield func([]event.Stored, error) bool) {
		seatOf(ctx).raise(size - 1)
		tell := formOf(ctx).tell
		ctx, cancel := context.WithCancel(ctx)
		pages := make(chan exportPage)
		var reading sync.WaitGroup
		defer reading.Wait()
		defer cancel()
		reading.Go(func() {
			defer close(pages)
			r.exportPages(ctx, f, Page{Order: order, Cursor: cursor, Limit: exportFirst, bytes: exportBytes}, size, pages)
		})
		for page := range pages {
			if tell != nil && len(page.opened) > 0 {
				tell(page.opened)
			}
			if !yield(page.items, page.err) {
				return
			}
		}
	}
}

// exportPages reads pages until the last one, the first error, or the context's end.
func (r *Reader) exportPages(ctx context.Context, f Filter, p Page, size int64, to chan<- exportPage) {
	var opened []protect.KeyID
	ctx = telling(ctx, func(keys []protect.KeyID) { opened = append(opened, keys...) })
	for {
		page, err := r.Events(ctx, f, p)
		p.Limit = exportLimit(page.Items, p.Limit)
		items := slices.DeleteFunc(page.Items, func(e event.Stored) bool { return e.Position >= size })
		select {
		case to <- exportPage{items, opened, err}:
			opened = nil
		case <-ctx.Done():
			return
		}
		if err != nil || page.Next == "" {
			return
		}
		p.Cursor = page.Next
	}
}

// exportLimit is how many events the next page holds, judging by the last one.
func exportLimit(items []event.Stored, last int) int {
	if len(items) == 0 {
		return last
	}
	bytes := 0
	for i := range items {
		bytes += (&row{stored: items[i]}).size()
	}
	return min(max(exportAim*len(items)/bytes, 1), exportMost)
}
