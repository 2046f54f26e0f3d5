package audit

import (
	"context"
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/jackc/pgx/v5"

	"audittrail/modules/ledger"
	"audittrail/modules/store"
)

// LedgerBatch is a row of ledger_batches, without its leaves. NULL is -1 here, or year 1 for the time.
type LedgerBatch struct {
	First      int64 // position of its first entry
	Batch      int64
	Count      int64
	LeafBytes  int64 // 32 times Count, unless somebody changed it
	RecordedAt time.Time
}

// End returns the position after the batch's last entry. The batch MUST be Placed.
func (b LedgerBatch) End() int64 { return b.First + b.Count }

// Placed reports whether the batch's number, first position and count are possible ones.
func (b LedgerBatch) Placed() bool {
	return b.Batch >= 1 && b.Batch <= store.MaxBatch && b.First >= 0 && b.First <= math.MaxInt64-store.MaxBatchEvents && b.Count >= 1 && b.Count <= store.MaxBatchEvents
}

// Timeless reports whether the batch has no valid time of recording.
func (b LedgerBatch) Timeless() bool { return b.RecordedAt.Year() == 1 }

// Fault says what is wrong with the batch's row by itself, or "".
func (b LedgerBatch) Fault() string {
	switch {
	case b.Batch < 1 || b.Batch > store.MaxBatch:
		return "the batch at this position has a number that no batch has"
	case b.First < 0 || b.First > math.MaxInt64-store.MaxBatchEvents:
		return fmt.Sprintf("batch %d claims positions that no batch has", b.Batch)
	case !b.Placed():
		return fmt.Sprintf("batch %d has a number of entries that no batch has", b.Batch)
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

// It uses the primary key of ledger_batches.
const ledgerBatchesSQL = `SELECT ` + batchColumns + ` FROM public.ledger_batches AS b WHERE log = $1::text ORDER BY first_position`

// It uses the unique index (log, batch).
const numberedBatchesSQL = `SELECT ` + batchColumns + ` FROM public.ledger_batches AS b WHERE log = 'events' AND batch = ANY ($1::bigint[])`

// Batches calls read for each batch of a log, in order of positions.
func (v *View) Batches(ctx context.Context, log ledger.Log, read func(LedgerBatch) error) error {
	return v.batches(ctx, read, ledgerBatchesSQL, string(log))
}

// NumberedBatches returns batches of events by their numbers. Unknown numbers are left out. If somebody added a
// second batch with a number, the first one counts (Strays reports the others).
func (v *View) NumberedBatches(ctx context.Context, numbers []int64) (map[int64]LedgerBatch, error) {
	found := make(map[int64]LedgerBatch, len(numbers))
	err := v.batches(ctx, func(b LedgerBatch) error {
		if other, again := found[b.Batch]; !again || b.First < other.First {
			found[b.Batch] = b
		}
		return nil
	}, numberedBatchesSQL, numbers)
	return found, err
}

func (v *View) batches(ctx context.Context, read func(LedgerBatch) error, sql string, args ...any) error {
	return v.each(ctx, "read ledger batches", func(rows pgx.Rows) error {
		var b LedgerBatch
		if err := rows.Scan(&b.First, &b.Batch, &b.Count, &b.LeafBytes, &b.RecordedAt); err != nil {
			return err
		}
		b.RecordedAt = spellable(b.RecordedAt.UTC())
		return read(b)
	}, sql, args...)
}

// Leaves calls read for the leaf hashes of the positions [from, to) that exist, batch by batch, with the position
// of the first. 65,536 hashes take 2 MiB.
func (v *View) Leaves(ctx context.Context, log ledger.Log, from, to int64, read func(position int64, leaves []ledger.Hash) error) error {
	return v.each(ctx, "read leaves", func(rows pgx.Rows) error {
		var (
			first int64
			part  []byte
		)
		if err := rows.Scan(&first, &part); err != nil {
			return err
		}
		return read(max(first, from), wholeHashes(part))
	}, verifyLeavesSQL, string(log), from, to)
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

// notesBytes bounds the memory for notes: a hundred times what a thousand honest ones take.
const notesBytes = 16 << 20

// Checkpoints returns at most limit checkpoints of a log with sizes above after, in order. more says that there may
// be others. Notes are cut at the length that a note may have, and a root of a wrong length is zero.
func (v *View) Checkpoints(ctx context.Context, log ledger.Log, after int64, limit int) (list []store.Checkpoint, more bool, err error) {
	bytes := 0
	err = v.each(ctx, "read checkpoints", func(rows pgx.Rows) error {
		var (
			c    store.Checkpoint
			root []byte
		)
		if bytes > notesBytes {
			more = true
			return errEnough
		}
		if err := rows.Scan(&c.Size, &root, &c.Note, &c.SignedAt); err != nil {
			return err
		}
		if len(root) == ledger.HashSize {
			c.Root = ledger.Hash(root)
		}
		c.SignedAt = c.SignedAt.UTC()
		bytes += len(c.Note)
		list = append(list, c)
		return nil
	}, `SELECT size, substring(root FOR 33), coalesce(left(`+store.CheckpointNoteSQL+`, 262145), ''), CASE WHEN isfinite(signed_at) THEN signed_at ELSE '0001-01-01Z' END
		FROM public.ledger_checkpoints AS c WHERE log = $1::text AND size > $2::bigint ORDER BY size LIMIT $3`, string(log), after, limit)
	if errors.Is(err, errEnough) {
		err = nil
	}
	return list, more || len(list) == limit, err
}

var errEnough = errors.New("enough was read")

// TilePart is a row of ledger_tiles.
type TilePart struct {
	ledger.TileID
	First  int // -1 for NULL
	Hashes []ledger.Hash
}

// TileParts calls read for each part of some tiles, in order. It uses the primary key of ledger_tiles.
func (v *View) TileParts(ctx context.Context, log ledger.Log, ids []ledger.TileID, read func(TilePart) error) error {
	levels, tiles := make([]int16, len(ids)), make([]int64, len(ids))
	for i, id := range ids {
		levels[i], tiles[i] = int16(id.Level), id.Index
	}
	return v.tileParts(ctx, read, `SELECT t.level, t.tile, coalesce(t.first, -1), substring(t.hashes FOR 8192)
		FROM unnest($2::smallint[], $3::bigint[]) AS w (level, tile)
		JOIN public.ledger_tiles AS t ON t.log = $1::text AND t.level = w.level AND t.tile = w.tile
		ORDER BY t.level, t.tile, t.first`, string(log), levels, tiles)
}

// TilePartsBeyond calls read for each part of a tile with hashes that a log of this size does not have, at most
// limit times. It reads all tiles.
func (v *View) TilePartsBeyond(ctx context.Context, log ledger.Log, size int64, limit int, read func(TilePart) error) error {
	return v.tileParts(ctx, read, `SELECT level, tile, first, NULL::bytea FROM public.ledger_tiles
		WHERE log = $1::text AND level BETWEEN 1 AND 7 AND tile IS NOT NULL AND first IS NOT NULL
			AND 256 * tile::numeric + first + octet_length(hashes) / 32 > $2::bigint >> (8 * level)
		ORDER BY level, tile, first LIMIT $3`, string(log), size, limit)
}

func (v *View) tileParts(ctx context.Context, read func(TilePart) error, sql string, args ...any) error {
	return v.each(ctx, "read tiles", func(rows pgx.Rows) error {
		var (
			p      TilePart
			hashes []byte
		)
		if err := rows.Scan(&p.Level, &p.Index, &p.First, &hashes); err != nil {
			return err
		}
		p.Hashes = wholeHashes(hashes)
		return read(p)
	}, sql, args...)
}
