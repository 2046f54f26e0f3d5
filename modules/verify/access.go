package verify

import (
	"context"
	"fmt"
	"slices"

	"audittrail/modules/ledger"
	"audittrail/modules/store/audit"
)

// access compares the rows of the access log with the leaves of their batches. The leaves themselves are compared
// with what was signed as those of events are.
func (r *run) access(ctx context.Context, v *audit.View) error {
	err := v.AccessRows(ctx, func(row audit.AccessRow) error {
		switch {
		case row.Count < 0:
			r.findings.add(accessFinding(EventInserted, -1, fmt.Sprintf("an entry of the access log belongs to batch %d, which there is not", row.Batch)))
		case row.Index >= row.Count:
			r.findings.add(accessFinding(EventInserted, -1, fmt.Sprintf("batch %d of the access log has a row beyond its %d entries", row.Batch, row.Count)))
		case row.Leaf != row.BatchLeaf:
			r.findings.add(accessFinding(EventAltered, positionIn(row.First, row.Index), "this entry of the access log is not what was stored"))
		case !row.TimeFits:
			r.findings.add(accessFinding(EventAltered, positionIn(row.First, row.Index), "the row's time is not that of its entry: searches by time miss it"))
		}
		return nil
	})
	if err == nil {
		err = v.OddAccessBatches(ctx, func(b audit.AccessBatch) error {
			for index := range b.Count {
				if !slices.Contains(b.Rows, index) {
					r.findings.add(accessFinding(EventRemoved, positionIn(b.First, index), fmt.Sprintf("an entry of the access log is gone: number %d of batch %d", index, b.Batch)))
				}
			}
			if int64(len(b.Rows)) > b.Count {
				r.findings.add(accessFinding(EventInserted, -1, fmt.Sprintf("batch %d of the access log has %d rows for %d entries", b.Batch, len(b.Rows), b.Count)))
			}
			return nil
		})
	}
	return r.unread(err, Finding{Kind: EventUnreadable, Log: ledger.Access, Detail: "the access log can't be read"})
}

func accessFinding(kind Kind, position int64, detail string) Finding {
	return Finding{Kind: kind, Log: ledger.Access, Detail: detail}.at(position)
}

// positionIn is an entry's position; -1 if its batch has none yet.
func positionIn(first, index int64) int64 {
	if first < 0 {
		return -1
	}
	return first + index
}
