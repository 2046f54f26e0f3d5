package store

import (
	"context"
	"iter"
	"slices"

	"audittrail/modules/event"
)

// The pages of an export: about exportAim bytes of JSON each, so that a stream has something to send
// often and holds little, and never more than exportBytes.
const (
	exportFirst = 250 // events, while nothing is known of their size
	exportMost  = 1000
	exportAim   = 1 << 20
	exportBytes = 8 << 20
)

// Export answers all events that fit and whose positions are below size, in pages. Events that were
// committed before it began appear exactly once; so where size is of a checkpoint that was read before,
// the export is the log as the checkpoint has it. There is no transaction around the pages: a reader that
// takes them slowly holds no snapshot and no connection meanwhile. A page may be empty. An error ends it.
//
// It begins at the cursor, where there is one, and so goes on where another export of this size ended.
func (r *Reader) Export(ctx context.Context, f Filter, order Order, cursor string, size int64) iter.Seq2[[]event.Stored, error] {
	return func(yield func([]event.Stored, error) bool) {
		p := Page{Order: order, Cursor: cursor, Limit: exportFirst, bytes: exportBytes}
		for {
			page, err := r.Events(ctx, f, p)
			if err != nil {
				yield(nil, err)
				return
			}
			p.Limit = exportLimit(page.Items, p.Limit)
			items := slices.DeleteFunc(page.Items, func(e event.Stored) bool { return e.Position >= size })
			if !yield(items, nil) || page.Next == "" {
				return
			}
			p.Cursor = page.Next
		}
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
