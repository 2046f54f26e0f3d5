package store

import (
	"context"
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"

	"audittrail/modules/ledger"
)

// Ledger reads and writes the rows of one log of the ledger: batches' leaf hashes, tiles, checkpoints.
// It implements ledger.Reader. It is safe for concurrent use.
type Ledger struct {
	db  ledgerDB
	log ledger.Log
}

// ledgerDB is a pool, or the notary's one connection.
type ledgerDB interface {
	Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error)
	QueryRow(ctx context.Context, sql string, args ...any) pgx.Row
	Exec(ctx context.Context, sql string, args ...any) (pgconn.CommandTag, error)
	SendBatch(ctx context.Context, batch *pgx.Batch) pgx.BatchResults
}

// NewLedger returns a Ledger on a pool of any runtime role. Writing needs audittrail_notary.
func NewLedger(pool *pgxpool.Pool, log ledger.Log) *Ledger { return &Ledger{db: pool, log: log} }

// Log returns the log that l reads.
func (l *Ledger) Log() ledger.Log { return l.log }

const (
	// It uses the primary key of ledger_batches, backwards.
	ledgerSizeSQL = `SELECT first_position + count FROM ledger_batches WHERE log = $1 ORDER BY first_position DESC LIMIT 1`

	// It uses the primary key of ledger_batches: for each range, from the batch that it begins in to the batch of
	// its end. Only the slice of each batch is read (STORAGE EXTERNAL).
	leavesSQL = `SELECT r.n, substring(b.leaves
			FROM 1 + 32 * (greatest(b.first_position, r.lower) - b.first_position)::int
			FOR 32 * (least(b.first_position + b.count, r.upper) - greatest(b.first_position, r.lower))::int)
		FROM unnest($2::bigint[], $3::bigint[]) WITH ORDINALITY AS r (lower, upper, n)
		CROSS JOIN LATERAL (
			SELECT first_position, count, leaves FROM ledger_batches
			WHERE log = $1 AND first_position < r.upper AND first_position >= coalesce((
				SELECT first_position FROM ledger_batches WHERE log = $1 AND first_position <= r.lower
				ORDER BY first_position DESC LIMIT 1), r.lower)
			ORDER BY first_position) AS b
		ORDER BY r.n, b.first_position`

	// It uses the primary key of ledger_tiles.
	tilesSQL = `SELECT r.n, t.first, t.hashes
		FROM unnest($2::smallint[], $3::bigint[]) WITH ORDINALITY AS r (level, tile, n)
		JOIN ledger_tiles AS t ON t.log = $1 AND t.level = r.level AND t.tile = r.tile
		ORDER BY r.n, t.first`

	// The last hash of level 1 shows how far the tiles reach: each one covers 256 leaves.
	builtSQL = `SELECT 256 * (256 * tile + first + octet_length(hashes) / 32) FROM ledger_tiles
		WHERE log = $1 AND level = 1 ORDER BY tile DESC, first DESC LIMIT 1`

	writeTileSQL = `INSERT INTO ledger_tiles (log, level, tile, first, hashes) VALUES ($1, $2, $3, $4, $5)`
)

// Size returns how many entries the log has: those that are committed and numbered.
func (l *Ledger) Size(ctx context.Context) (int64, error) { return l.number(ctx, ledgerSizeSQL) }

// Built returns how many entries the stored tiles cover: the size to build from.
func (l *Ledger) Built(ctx context.Context) (int64, error) { return l.number(ctx, builtSQL) }

// number reads one number, or 0 if there is no row.
func (l *Ledger) number(ctx context.Context, sql string) (int64, error) {
	var n int64
	err := l.db.QueryRow(ctx, sql, string(l.log)).Scan(&n)
	if err != nil && !errors.Is(err, pgx.ErrNoRows) {
		return 0, fmt.Errorf("read size of log %s: %w", l.log, err)
	}
	return n, nil
}

// Leaves implements ledger.Reader.
func (l *Ledger) Leaves(ctx context.Context, ranges []ledger.Range) ([][]ledger.Hash, error) {
	lower, upper := make([]int64, len(ranges)), make([]int64, len(ranges))
	for i, r := range ranges {
		lower[i], upper[i] = r.From, r.To
	}
	leaves := make([][]ledger.Hash, len(ranges))
	rows, _ := l.db.Query(ctx, leavesSQL, string(l.log), lower, upper) // ForEachRow reports the error
	var (
		n    int
		part []byte
	)
	_, err := pgx.ForEachRow(rows, []any{&n, &part}, func() error {
		hashes, ok := ledger.SplitHashes(part)
		if !ok {
			return errHashes
		}
		leaves[n-1] = append(leaves[n-1], hashes...)
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("read leaves of log %s: %w", l.log, err)
	}
	return leaves, nil
}

var errHashes = fmt.Errorf("a row does not hold whole hashes: %w", ledger.ErrIncomplete)

// Tiles implements ledger.Reader.
func (l *Ledger) Tiles(ctx context.Context, ids []ledger.TileID) ([][]ledger.Hash, error) {
	levels, indexes := make([]int16, len(ids)), make([]int64, len(ids))
	for i, id := range ids {
		levels[i], indexes[i] = int16(id.Level), id.Index
	}
	tiles := make([][]ledger.Hash, len(ids))
	rows, _ := l.db.Query(ctx, tilesSQL, string(l.log), levels, indexes) // ForEachRow reports the error
	var (
		n, first int
		part     []byte
	)
	_, err := pgx.ForEachRow(rows, []any{&n, &first, &part}, func() error {
		hashes, ok := ledger.SplitHashes(part)
		if !ok {
			return errHashes
		}
		if first == len(tiles[n-1]) { // parts after a missing one can't be used
			tiles[n-1] = append(tiles[n-1], hashes...)
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("read tiles of log %s: %w", l.log, err)
	}
	return tiles, nil
}

// WriteTiles stores the parts, all or none. It fails if one exists already.
func (l *Ledger) WriteTiles(ctx context.Context, parts []ledger.TilePart) error {
	if len(parts) == 0 {
		return nil
	}
	var batch pgx.Batch
	for _, p := range parts {
		batch.Queue(writeTileSQL, string(l.log), int16(p.Tile.Level), p.Tile.Index, int16(p.Offset), ledger.AppendHashes(nil, p.Hashes))
	}
	if err := l.db.SendBatch(ctx, &batch).Close(); err != nil { // one implicit transaction
		return fmt.Errorf("write tiles of log %s: %w", l.log, err)
	}
	return nil
}

// Checkpoint is a row of ledger_checkpoints.
type Checkpoint struct {
	Size     int64
	Root     ledger.Hash
	Note     string // C2SP tlog-checkpoint, with all signatures
	SignedAt time.Time
}

// Signature is one that is added to a stored checkpoint.
type Signature struct {
	Signer string // the key: <name>+<id>
	Line   string // of a C2SP signed-note, without the line feed
}

const (
	// The note of ledger_checkpoints AS c with the signatures that were added, by the primary key of
	// ledger_signatures. Later signatures come last. A note has at most 262,144 bytes (ledger.MaxCheckpoint) and a
	// hundred signatures. A longer one is cut, and then does not verify.
	checkpointNote = `left(note, 262145) || coalesce((SELECT string_agg(a.line || E'\n', '' ORDER BY a.signed_at, a.signer)
		FROM (SELECT left(s.line, 1000) AS line, s.signed_at, s.signer FROM public.ledger_signatures AS s
			WHERE s.log = c.log AND s.size = c.size ORDER BY s.signed_at, s.signer LIMIT 50) AS a), '')`
	checkpointColumns = `size, root, ` + checkpointNote + `, signed_at`

	// They use the primary key of ledger_checkpoints.
	latestCheckpointSQL = `SELECT ` + checkpointColumns + ` FROM ledger_checkpoints AS c WHERE log = $1 AND size <= $2 ORDER BY size DESC LIMIT 1`
	checkpointsSQL      = `SELECT ` + checkpointColumns + ` FROM ledger_checkpoints AS c WHERE log = $1 AND size > $2 ORDER BY size LIMIT $3`
	addSignaturesSQL    = `INSERT INTO ledger_signatures (log, size, signer, line, signed_at)
		SELECT $1, $2, signer, line, $5 FROM unnest($3::text[], $4::text[]) AS u (signer, line)`
	keepCheckpointSQL = `INSERT INTO ledger_checkpoints (log, size, root, note, signed_at) VALUES ($1, $2, $3, $4, $5)`
)

func scanCheckpoint(row scanner) (Checkpoint, error) {
	var (
		c    Checkpoint
		root []byte
	)
	if err := row.Scan(&c.Size, &root, &c.Note, &c.SignedAt); err != nil {
		return Checkpoint{}, err
	}
	copy(c.Root[:], root)
	c.SignedAt = c.SignedAt.UTC()
	return c, nil
}

// LatestCheckpoint returns the checkpoint of the largest size; ok is false if there is none.
func (l *Ledger) LatestCheckpoint(ctx context.Context) (c Checkpoint, ok bool, err error) {
	return l.CheckpointUpTo(ctx, math.MaxInt64)
}

// CheckpointUpTo returns the checkpoint of the largest size up to size; ok is false if there is none.
func (l *Ledger) CheckpointUpTo(ctx context.Context, size int64) (c Checkpoint, ok bool, err error) {
	c, err = scanCheckpoint(l.db.QueryRow(ctx, latestCheckpointSQL, string(l.log), size))
	if errors.Is(err, pgx.ErrNoRows) {
		return Checkpoint{}, false, nil
	}
	if err != nil {
		return Checkpoint{}, false, fmt.Errorf("read checkpoint of log %s: %w", l.log, err)
	}
	return c, true, nil
}

// Checkpoints returns at most limit checkpoints with sizes above after, in order.
func (l *Ledger) Checkpoints(ctx context.Context, after int64, limit int) ([]Checkpoint, error) {
	rows, _ := l.db.Query(ctx, checkpointsSQL, string(l.log), after, limit) // CollectRows reports the error
	list, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (Checkpoint, error) { return scanCheckpoint(row) })
	if err != nil {
		return nil, fmt.Errorf("read checkpoints of log %s: %w", l.log, err)
	}
	return list, nil
}

// KeepCheckpoint stores a checkpoint, durably and for ever. A second one of the same size is an error.
func (l *Ledger) KeepCheckpoint(ctx context.Context, c Checkpoint) error {
	if _, err := l.db.Exec(ctx, keepCheckpointSQL, string(l.log), c.Size, c.Root[:], c.Note, c.SignedAt); err != nil {
		return fmt.Errorf("keep checkpoint of log %s: %w", l.log, err)
	}
	return nil
}

// AddSignatures adds signatures to the checkpoint of a size, all or none, for ever. It verifies nothing. A second
// signature of a key for a size is an error, and so is one for a size without a checkpoint.
func (l *Ledger) AddSignatures(ctx context.Context, size int64, added []Signature, at time.Time) error {
	signers, lines := make([]string, len(added)), make([]string, len(added))
	for i, s := range added {
		signers[i], lines[i] = s.Signer, s.Line
	}
	if _, err := l.db.Exec(ctx, addSignaturesSQL, string(l.log), size, signers, lines, at); err != nil {
		return fmt.Errorf("add signatures to a checkpoint of log %s: %w", l.log, err)
	}
	return nil
}

// NumberPending gives positions to committed batches of the access log that wait for them. It returns how many there
// were, at most 1,000. If it returns 1,000, more may wait.
func NumberPending(ctx context.Context, pool *pgxpool.Pool) (int, error) {
	return numberPending(ctx, pool)
}

func numberPending(ctx context.Context, db ledgerDB) (int, error) {
	var n int
	if err := db.QueryRow(ctx, `SELECT number_pending('access')`).Scan(&n); err != nil {
		return 0, fmt.Errorf("number pending batches: %w", err)
	}
	return n, nil
}
