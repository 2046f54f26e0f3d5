package audit

import (
	"context"
	"fmt"
	"math"
	"time"

	"github.com/jackc/pgx/v5"

	"audittrail/modules/ledger"
	"audittrail/modules/store"
)

// LedgerBatch is a row of ledger_batches or ledger_pending, without its leaves. NULL is -1 here, or year 1 for the time.
type LedgerBatch struct {
	First      int64 // position of its first entry; of a batch that waits for positions a negative number of its own
	Batch      int64
	Count      int64
	LeafBytes  int64 // 32 times Count, unless somebody changed it
	RecordedAt time.Time
}

// End returns the position after the batch's last entry. The batch MUST be Placed.
func (b LedgerBatch) End() int64 { return b.First + b.Count }

// Placed reports whether the batch's number, first position and count are possible ones.
func (b LedgerBatch) Placed() bool {
	return b.Batch >= 1 && b.Batch <= store.MaxBatch && (b.First >= 0 || b.First == -store.MaxBatchEvents*(b.Batch+1)) &&
		b.First <= math.MaxInt64-store.MaxBatchEvents && b.Count >= 1 && b.Count <= store.MaxBatchEvents
}

// waits stands for the first position of a batch that waits for its positions.
const waits = math.MinInt64

// waiting returns the batch with positions of its own, if it waits for its positions.
func (b LedgerBatch) waiting() LedgerBatch {
	if b.First == waits && b.Batch < store.MaxBatch {
		b.First = -store.MaxBatchEvents * (b.Batch + 1)
	}
	return b
}

// Timeless reports whether the batch has no valid time of recording.
func (b LedgerBatch) Timeless() bool { return b.RecordedAt.Year() == 1 }

// Fault says what is wrong with the batch's row by itself, or "".
func (b LedgerBatch) Fault() string {
	switch {
	case b.Batch < 1 || b.Batch > store.MaxBatch:
		return "the batch at this position has a number that no batch has"
	case b.Count < 1 || b.Count > store.MaxBatchEvents:
		return fmt.Sprintf("batch %d has a number of entries that no batch has", b.Batch)
	case !b.Placed():
		return fmt.Sprintf("batch %d claims positions that no batch has", b.Batch)
	case b.LeafBytes != b.Count*ledger.HashSize:
		return fmt.Sprintf("batch %d has %d bytes of leaf hashes for %d entries", b.Batch, max(0, b.LeafBytes), b.Count)
	case b.Timeless():
		return fmt.Sprintf("batch %d was recorded at a time that is none", b.Batch)
	}
	return ""
}

// It reads the leaves' length, not the leaves.
const batchColumns = `coalesce(b.first_position, -1), coalesce(b.batch, -1), coalesce(b.count, -1), coalesce(octet_length(b.leaves), -1),
	CASE WHEN isfinite(b.recorded_at) THEN b.recorded_at ELSE '0001-01-01Z' END`

// pendingColumns are those of a batch that waits for its positions.
const pendingColumns = `'-9223372036854775808'::bigint, coalesce(b.batch, -1), coalesce(b.count, -1), coalesce(octet_length(b.leaves), -1), '2000-01-01Z'::timestamptz`

// It uses the primary key of ledger_batches.
const ledgerBatchesSQL = `SELECT ` + batchColumns + ` FROM public.ledger_batches AS b WHERE log = $1::text ORDER BY first_position`

// It uses the unique index (log, batch), and the primary key of ledger_pending.
const numberedBatchesSQL = `SELECT ` + batchColumns + ` FROM public.ledger_batches AS b WHERE log = $1::text AND batch = ANY ($2::bigint[])
	UNION ALL SELECT ` + pendingColumns + ` FROM public.ledger_pending AS b WHERE log = 'access' AND log = $1::text AND batch = ANY ($2::bigint[])`

// Batches calls read for each batch of a log, in order of positions.
func (v *View) Batches(ctx context.Context, log ledger.Log, read func(LedgerBatch) error) error {
	return v.batches(ctx, read, ledgerBatchesSQL, string(log))
}

// NumberedBatches returns batches by their numbers, also those of the access log that wait for positions. Unknown numbers are left
// out. If somebody added a second batch with a number, the one with the lowest position counts.
func (v *View) NumberedBatches(ctx context.Context, log ledger.Log, numbers []int64) (map[int64]LedgerBatch, error) {
	found := make(map[int64]LedgerBatch, len(numbers))
	err := v.batches(ctx, func(b LedgerBatch) error {
		if other, again := found[b.Batch]; !again || b.First < other.First {
			found[b.Batch] = b
		}
		return nil
	}, numberedBatchesSQL, string(log), numbers)
	return found, err
}

func (v *View) batches(ctx context.Context, read func(LedgerBatch) error, sql string, args ...any) error {
	return v.each(ctx, "read ledger batches", func(rows pgx.Rows) error {
		var b LedgerBatch
		if err := rows.Scan(&b.First, &b.Batch, &b.Count, &b.LeafBytes, &b.RecordedAt); err != nil {
			return err
		}
		b.RecordedAt = spellable(b.RecordedAt.UTC())
		return read(b.waiting())
	}, sql, args...)
}

// Leaves calls read for the leaf hashes of the positions [from, to) that exist, batch by batch, with the first position
// of the batch, and the index in it of the first hash. 65,536 hashes take 2 MiB.
func (v *View) Leaves(ctx context.Context, log ledger.Log, from, to int64, read func(batch, index int64, leaves []ledger.Hash) error) error {
	return v.each(ctx, "read leaves", func(rows pgx.Rows) error {
		var (
			first int64
			part  []byte
		)
		if err := rows.Scan(&first, &part); err != nil {
			return err
		}
		return read(first, max(0, from-first), wholeHashes(part))
	}, verifyLeavesSQL, string(log), from, to)
}

// Pending calls read for each batch of the access log that waits for its positions, with its leaf hashes.
func (v *View) Pending(ctx context.Context, read func(b LedgerBatch, leaves []ledger.Hash) error) error {
	return v.each(ctx, "read batches that wait for positions", func(rows pgx.Rows) error {
		var (
			b      LedgerBatch
			leaves []byte
		)
		if err := rows.Scan(&b.First, &b.Batch, &b.Count, &b.LeafBytes, &b.RecordedAt, &leaves); err != nil {
			return err
		}
		return read(b.waiting(), wholeHashes(leaves))
	}, `SELECT `+pendingColumns+`, substring(leaves FOR 32 * 16384) FROM public.ledger_pending AS b WHERE log = 'access'`)
}

// It uses the primary key of ledger_batches, from the batch that holds from. Impossible batches are left out before
// anything is computed from them, and no sum can overflow.
const verifyLeavesSQL = `SELECT first_position, substring(leaves
		FROM 1 + 32 * (greatest(first_position, $2::bigint) - first_position)::int
		FOR 32 * (least(count, $3::bigint - first_position) - (greatest(first_position, $2::bigint) - first_position))::int)
	FROM public.ledger_batches
	WHERE log = $1::text AND first_position < $3::bigint AND first_position >= 0 AND count BETWEEN 1 AND 16384 AND first_position > $2::bigint - count
		AND first_position >= coalesce((
			SELECT first_position FROM public.ledger_batches WHERE log = $1::text AND first_position <= $2::bigint
			ORDER BY first_position DESC LIMIT 1), $2::bigint)
	ORDER BY first_position`

// wholeHashes returns the complete hashes of a column. A last one that was cut is left out.
func wholeHashes(b []byte) []ledger.Hash {
	hashes, _ := ledger.SplitHashes(b[:len(b)/ledger.HashSize*ledger.HashSize])
	return hashes
}

// Checkpoint is a row of ledger_checkpoints.
type Checkpoint struct {
	Size       int64
	Root       ledger.Hash // zero if the row's has another length
	Note       string      // with all signatures, and cut at the length that a note may have
	Signatures int64       // rows of ledger_signatures that Note has
}

// Checkpoints returns at most limit checkpoints of a log with sizes above after, in order.
func (v *View) Checkpoints(ctx context.Context, log ledger.Log, after int64, limit int) (list []Checkpoint, err error) {
	err = v.each(ctx, "read checkpoints", func(rows pgx.Rows) error {
		var (
			c    Checkpoint
			root []byte
		)
		if err := rows.Scan(&c.Size, &root, &c.Note, &c.Signatures); err != nil {
			return err
		}
		if len(root) == ledger.HashSize {
			c.Root = ledger.Hash(root)
		}
		list = append(list, c)
		return nil
	}, `SELECT size, substring(root FOR 33), coalesce(left(`+store.CheckpointNoteSQL+`, 262145), ''),
			(SELECT count(*) FROM public.ledger_signatures AS s WHERE s.log = c.log AND s.size = c.size AND s.line IS NOT NULL)
		FROM public.ledger_checkpoints AS c WHERE log = $1::text AND size > $2::bigint ORDER BY size LIMIT $3`, string(log), after, limit)
	return list, err
}

// TilePart is a row of ledger_tiles.
type TilePart struct {
	ledger.TileID
	First  int // -1 for NULL
	Hashes []ledger.Hash
	Odd    bool // it has no hashes, or only a part of one
}

// TileParts calls read for each part of some tiles, in order. It uses the primary key of ledger_tiles.
func (v *View) TileParts(ctx context.Context, log ledger.Log, ids []ledger.TileID, read func(TilePart)) error {
	levels, tiles := make([]int16, len(ids)), make([]int64, len(ids))
	for i, id := range ids {
		levels[i], tiles[i] = int16(id.Level), id.Index
	}
	return v.each(ctx, "read tiles", func(rows pgx.Rows) error {
		var (
			p      TilePart
			hashes []byte
		)
		if err := rows.Scan(&p.Level, &p.Index, &p.First, &hashes); err != nil {
			return err
		}
		p.Hashes, p.Odd = wholeHashes(hashes), len(hashes) == 0 || len(hashes)%ledger.HashSize != 0
		read(p)
		return nil
	}, `SELECT t.level, t.tile, coalesce(t.first, -1), substring(t.hashes FOR 8193)
		FROM unnest($2::smallint[], $3::bigint[]) AS w (level, tile)
		JOIN public.ledger_tiles AS t ON t.log = $1::text AND t.level = w.level AND t.tile = w.tile
		ORDER BY t.level, t.tile, t.first`, string(log), levels, tiles)
}

// CountRows counts the rows of a table, by its pages: an index could show others than there are. table MUST be a
// constant.
func (v *View) CountRows(ctx context.Context, table string) (n int64, err error) {
	err = v.each(ctx, "count the rows of "+table, func(rows pgx.Rows) error { return rows.Scan(&n) },
		`SELECT count(*) FROM public.`+table+` WHERE ctid >= '(0,0)'`)
	return n, err
}
