package store

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"

	"audittrail/modules/ledger"
)

// LedgerBatch is a row of ledger_batches, without its leaves.
type LedgerBatch struct {
	First      int64 // position of its first entry
	Batch      int64
	Count      int64
	LeafBytes  int64 // 32 times Count, unless somebody changed it
	RecordedAt time.Time
}

// End is the position behind the batch's last entry.
func (b LedgerBatch) End() int64 { return b.First + b.Count }

// By ledger_batches' primary key. The lengths are read without the leaves.
const ledgerBatchesSQL = `SELECT first_position, batch, count, octet_length(leaves),
		CASE WHEN isfinite(recorded_at) THEN recorded_at ELSE '0001-01-01Z' END
	FROM ledger_batches WHERE log = $1 ORDER BY first_position`

// Batches reads all batches of a log, in the order of positions.
func (v *View) Batches(ctx context.Context, log ledger.Log, read func(LedgerBatch) error) error {
	return v.each(ctx, "read ledger batches", func(rows pgx.Rows) error {
		var b LedgerBatch
		if err := rows.Scan(&b.First, &b.Batch, &b.Count, &b.LeafBytes, &b.RecordedAt); err != nil {
			return err
		}
		b.RecordedAt = spellable(b.RecordedAt.UTC())
		return read(b)
	}, ledgerBatchesSQL, string(log))
}

// Leaves reads the leaf hashes of positions from up to to, without to: those that there are, each batch's
// with the position of its first. Their sum is 2 MiB for each 65,536 positions.
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

// By ledger_batches' primary key, from the batch that from lies in.
const verifyLeavesSQL = `SELECT first_position, substring(leaves
		FROM 1 + 32 * (greatest(first_position, $2) - first_position)::int
		FOR 32 * (least(first_position + count, $3) - greatest(first_position, $2))::int)
	FROM ledger_batches
	WHERE log = $1 AND first_position < $3 AND first_position + count > $2 AND first_position >= coalesce((
		SELECT first_position FROM ledger_batches WHERE log = $1 AND first_position <= $2
		ORDER BY first_position DESC LIMIT 1), $2)
	ORDER BY first_position`

// wholeHashes are those that a column holds in whole: what somebody cut off is missing then.
func wholeHashes(b []byte) []ledger.Hash {
	hashes, _ := ledger.SplitHashes(b[:len(b)/ledger.HashSize*ledger.HashSize])
	return hashes
}

// BatchSlice asks for the leaves of one batch of events, from index Low to index High, with High.
type BatchSlice struct {
	Batch     int64
	Low, High int
}

// BatchLeaves is the answer: the batch, and its leaves from index Low on, as far as it has them.
type BatchLeaves struct {
	LedgerBatch
	Leaves []ledger.Hash
}

// By ledger_batches' unique (log, batch).
const batchSlicesSQL = `SELECT b.first_position, b.batch, b.count, octet_length(b.leaves),
		CASE WHEN isfinite(b.recorded_at) THEN b.recorded_at ELSE '0001-01-01Z' END,
		substring(b.leaves FROM 1 + 32 * w.low FOR 32 * (w.high - w.low + 1))
	FROM unnest($1::bigint[], $2::int[], $3::int[]) AS w (batch, low, high)
	JOIN ledger_batches AS b ON b.log = 'events' AND b.batch = w.batch`

// BatchLeaves reads slices of batches of events, in no order. Batches that are unknown are left out.
func (v *View) BatchLeaves(ctx context.Context, slices []BatchSlice, read func(*BatchLeaves) error) error {
	batches, low, high := make([]int64, len(slices)), make([]int32, len(slices)), make([]int32, len(slices))
	for i, s := range slices {
		batches[i], low[i], high[i] = s.Batch, int32(s.Low), int32(s.High)
	}
	return v.each(ctx, "read leaves of batches", func(rows pgx.Rows) error {
		var (
			b    BatchLeaves
			part []byte
		)
		if err := rows.Scan(&b.First, &b.Batch, &b.Count, &b.LeafBytes, &b.RecordedAt, &part); err != nil {
			return err
		}
		b.RecordedAt = spellable(b.RecordedAt.UTC())
		b.Leaves = wholeHashes(part)
		return read(&b)
	}, batchSlicesSQL, batches, low, high)
}

// Checkpoints reads the checkpoints of a log of a size above after, in order, at most limit.
func (v *View) Checkpoints(ctx context.Context, log ledger.Log, after int64, limit int) ([]Checkpoint, error) {
	list := make([]Checkpoint, 0, limit)
	err := v.each(ctx, "read checkpoints", func(rows pgx.Rows) error {
		c, err := scanCheckpoint(rows)
		list = append(list, c)
		return err
	}, `SELECT size, root, `+checkpointNote+`, CASE WHEN isfinite(signed_at) THEN signed_at ELSE '0001-01-01Z' END
		FROM ledger_checkpoints AS c WHERE log = $1 AND size > $2 ORDER BY size LIMIT $3`, string(log), after, limit)
	return list, err
}

// TilePart is a row of ledger_tiles.
type TilePart struct {
	ledger.TileID
	First  int
	Hashes []ledger.Hash
}

// TileParts reads the parts of some tiles, in order. By ledger_tiles' primary key.
func (v *View) TileParts(ctx context.Context, log ledger.Log, ids []ledger.TileID) ([]TilePart, error) {
	levels, tiles := make([]int16, len(ids)), make([]int64, len(ids))
	for i, id := range ids {
		levels[i], tiles[i] = int16(id.Level), id.Index
	}
	return v.tileParts(ctx, `SELECT t.level, t.tile, t.first, t.hashes
		FROM unnest($2::smallint[], $3::bigint[]) AS w (level, tile)
		JOIN ledger_tiles AS t ON t.log = $1 AND t.level = w.level AND t.tile = w.tile
		ORDER BY t.level, t.tile, t.first`, string(log), levels, tiles)
}

// TilePartsBeyond reads parts of tiles that have hashes which a log of this size does not have, at most
// limit of them. It walks over all tiles.
func (v *View) TilePartsBeyond(ctx context.Context, log ledger.Log, size int64, limit int) ([]TilePart, error) {
	return v.tileParts(ctx, `SELECT level, tile, first, hashes FROM ledger_tiles
		WHERE log = $1 AND 256 * tile::numeric + first + octet_length(hashes) / 32 > $2::bigint >> (8 * level)
		ORDER BY level, tile, first LIMIT $3`, string(log), size, limit)
}

func (v *View) tileParts(ctx context.Context, sql string, args ...any) ([]TilePart, error) {
	var parts []TilePart
	err := v.each(ctx, "read tiles", func(rows pgx.Rows) error {
		var (
			p      TilePart
			hashes []byte
		)
		if err := rows.Scan(&p.Level, &p.Index, &p.First, &hashes); err != nil {
			return err
		}
		p.Hashes = wholeHashes(hashes)
		parts = append(parts, p)
		return nil
	}, sql, args...)
	return parts, err
}
