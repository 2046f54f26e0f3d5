package store

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
)

const (
	// byCause is what the name of a partition's btree by causation id has behind the partition's.
	byCause = "_causation_idx"

	// settled is how long after its end a partition gets that index. Kafka keeps records for as long by its defaults, so
	// what an outage held up has come by then.
	settled = 7 * 24 * time.Hour
)

const (
	// Nobody else waits while CREATE INDEX CONCURRENTLY waits for older transactions to end, so it may wait for longer
	// than any statement of this program takes. It takes one core, and leaves the others to ingest.
	buildSettingsSQL = `SET lock_timeout = '1min'; SET max_parallel_maintenance_workers = 0`

	isValidSQL = `SELECT x.indisvalid FROM pg_index x JOIN pg_class c ON c.oid = x.indexrelid
		WHERE c.relname = $1 AND x.indrelid = (SELECT oid FROM pg_class WHERE relname = $2 AND relnamespace = 'public'::regnamespace)`

	// The planner takes it for causationIs, whose = is true of no NULL. The month is over, so pages are filled.
	buildByCauseSQL = `CREATE INDEX CONCURRENTLY %s ON %s (((metadata ->> 'causationId') COLLATE "C"))
		WITH (fillfactor = 100) WHERE (metadata ->> 'causationId') COLLATE "C" IS NOT NULL`
)

// WantsByCause reports whether it is time to call BuildByCause: the partition's time is over, and has been for some days.
func (p PartitionState) WantsByCause(now time.Time) bool {
	return p.Bytes > 0 && !p.ByCause && now.Sub(p.End) >= settled
}

// BuildByCause makes the partition's btree by causation id, if it has none. Ingest keeps only a BRIN index, events_causation,
// which a search reads whole; where there is the btree, it reads that.
//
// Reading and writing go on meanwhile. BuildByCause waits for the partition as long as the pool's lock_timeout lets it, and then
// up to a minute for each transaction that began before. What an interruption leaves is an index that no search
// takes; the next call makes it anew. It takes a connection of the pool, and as long as it takes to read the partition.
func BuildByCause(ctx context.Context, owner *pgxpool.Pool, partition string) error {
	pooled, err := owner.Acquire(ctx)
	if err != nil {
		return fmt.Errorf("index causation ids of %s: connect: %w", partition, err)
	}
	defer giveBack(pooled, false) // it has other settings
	if err := buildByCause(ctx, pooled.Conn(), partition); err != nil {
		return fmt.Errorf("index causation ids of %s: %w", partition, err)
	}
	return nil
}

func buildByCause(ctx context.Context, conn *pgx.Conn, partition string) error {
	name := partition + byCause
	table, index := pgx.Identifier{"public", partition}.Sanitize(), pgx.Identifier{"public", name}.Sanitize() // from the catalogue
	// Whoever works on the partition, as autovacuum or another BuildByCause, is not waited for with the longer timeout.
	if err := pgx.BeginFunc(ctx, conn, func(tx pgx.Tx) error {
		_, err := tx.Exec(ctx, "LOCK TABLE "+table+" IN SHARE UPDATE EXCLUSIVE MODE")
		return err
	}); err != nil {
		return err
	}
	if _, err := conn.Exec(ctx, buildSettingsSQL); err != nil {
		return err
	}
	var valid bool
	switch err := conn.QueryRow(ctx, isValidSQL, name, partition).Scan(&valid); {
	case errors.Is(err, pgx.ErrNoRows):
	case err != nil || valid:
		return err
	default:
		if _, err := conn.Exec(ctx, "DROP INDEX CONCURRENTLY "+index); err != nil {
			return err
		}
	}
	_, err := conn.Exec(ctx, fmt.Sprintf(buildByCauseSQL, pgx.Identifier{name}.Sanitize(), table))
	return err
}
