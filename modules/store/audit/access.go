package audit

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"

	"audittrail/modules/event"
	"audittrail/modules/ledger"
)

// AccessRow is a row of access_log beside what its batch says of it.
type AccessRow struct {
	Batch, Index int64
	First        int64       // position of the batch's first entry; -1 if the batch is not numbered yet
	Count        int64       // entries of the batch; -1 if there is no such batch
	Leaf         ledger.Hash // of the row
	BatchLeaf    ledger.Hash // as the batch has it; zero if it has none
	TimeFits     bool        // the row's time is that of its entry
}

// AccessBatch is a batch of the access log, and which of its entries have a row.
type AccessBatch struct {
	Batch, First, Count int64
	Rows                []int64 // indexes within the batch
}

const (
	// Batches that wait for their positions count too.
	accessBatchesSQL = `(SELECT batch, first_position, count, leaves FROM public.ledger_batches WHERE log = 'access'
		UNION ALL SELECT batch, -1, count, leaves FROM public.ledger_pending WHERE log = 'access')`

	// Every row is read from its page: an index could show others than there are.
	accessRowsSQL = `SELECT e.id >> 14, e.id & 16383, coalesce(b.first_position, -1), coalesce(b.count, -1),
			coalesce(substring(b.leaves FROM 1 + 32 * (e.id & 16383)::int FOR 32), ''::bytea), e.time, e.entry
		FROM public.access_log AS e LEFT JOIN ` + accessBatchesSQL + ` AS b ON b.batch = e.id >> 14`

	accessSetsSQL = `SELECT b.batch, b.first_position, b.count, coalesce(e.rows, '{}')
		FROM ` + accessBatchesSQL + ` AS b LEFT JOIN (
			SELECT id >> 14 AS batch, array_agg(id & 16383) AS rows FROM public.access_log GROUP BY 1) AS e ON e.batch = b.batch
		WHERE cardinality(coalesce(e.rows, '{}')) <> b.count`

	pagesOnlySQL = `SET LOCAL enable_indexscan = off; SET LOCAL enable_indexonlyscan = off; SET LOCAL enable_bitmapscan = off`
	asBeforeSQL  = `SET LOCAL enable_indexscan = on; SET LOCAL enable_indexonlyscan = on; SET LOCAL enable_bitmapscan = on`
)

// AccessRows calls read for each row of the access log, in no order.
func (v *View) AccessRows(ctx context.Context, read func(AccessRow) error) error {
	return v.byPages(ctx, func() error {
		return v.each(ctx, "read the access log", func(rows pgx.Rows) error {
			var (
				r           AccessRow
				at          time.Time
				leaf, entry []byte
			)
			if err := rows.Scan(&r.Batch, &r.Index, &r.First, &r.Count, &leaf, &at, &entry); err != nil {
				return err
			}
			if len(leaf) == ledger.HashSize {
				r.BatchLeaf = ledger.Hash(leaf)
			}
			if canonical, err := event.Canonicalize(nil, entry); err == nil {
				r.Leaf, r.TimeFits = ledger.LeafHash(canonical), timeOf(canonical) == event.FormatTime(spellable(at.UTC()))
			}
			return read(r)
		}, accessRowsSQL)
	})
}

// OddAccessBatches calls read for each batch of the access log that has another number of rows than of entries.
func (v *View) OddAccessBatches(ctx context.Context, read func(AccessBatch) error) error {
	return v.byPages(ctx, func() error {
		return v.each(ctx, "count the access log's rows", func(rows pgx.Rows) error {
			var b AccessBatch
			if err := rows.Scan(&b.Batch, &b.First, &b.Count, &b.Rows); err != nil {
				return err
			}
			return read(b)
		}, accessSetsSQL)
	})
}

// byPages runs a function whose statements read tables without their indexes.
func (v *View) byPages(ctx context.Context, f func() error) error {
	if _, err := v.tx.Exec(ctx, pagesOnlySQL); err != nil {
		return err
	}
	if err := f(); err != nil { // the settings are those of before again if it failed in PostgreSQL, and matter to nobody otherwise
		return err
	}
	_, err := v.tx.Exec(ctx, asBeforeSQL)
	return err
}

// timeOf returns an entry's own time as it is written; "" if it has none.
func timeOf(canonical []byte) string {
	if canonical[0] != '{' {
		return ""
	}
	for name, value := range event.Members(canonical) {
		if string(name) == "time" && len(value) > 2 {
			return string(value[1 : len(value)-1])
		}
	}
	return ""
}
