package store

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
)

// Upkeep is the session of the one process that keeps the event store's partitions and indexes in
// shape. What it does wants ownership, so its role is audittrail_owner.
type Upkeep struct{ *Lead }

// PartitionState is what upkeep wants to know of a partition of events.
type PartitionState struct {
	Name     string
	Inserted int64 // rows ever inserted, as far as the statistics know: up to 10 s late, 0 after a crash
	Bytes    int64 // size of the table without its indexes
	Analysed bool  // the planner has statistics
}

const (
	// reltuples is -1 until the first ANALYZE or VACUUM; unlike the statistics it survives a crash.
	partitionStatesSQL = `SELECT c.relname::text, coalesce(s.n_tup_ins, 0), pg_relation_size(c.oid), c.reltuples >= 0
		FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid LEFT JOIN pg_stat_all_tables s ON s.relid = c.oid
		WHERE i.inhparent = 'public.events'::regclass ORDER BY 1`
	cleanPendingSQL = `SELECT coalesce(sum(gin_clean_pending_list(i.indexrelid)), 0)::bigint ` + partitionIndexes + `'gin'`
	summariseSQL    = `SELECT coalesce(sum(brin_summarize_new_values(i.indexrelid)), 0)::bigint ` + partitionIndexes + `'brin'`

	partitionIndexes = `FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid JOIN pg_am m ON m.oid = c.relam
		WHERE i.indrelid = (SELECT oid FROM pg_class WHERE relname = $1 AND relnamespace = 'public'::regnamespace)
		AND i.indisvalid AND m.amname = `
)

// LeadUpkeep makes the caller the one that looks after this database, if nobody else does. owner is a
// pool of the role audittrail_owner.
func LeadUpkeep(ctx context.Context, owner *pgxpool.Pool) (*Upkeep, bool, error) {
	lead, ok, err := tryLead(ctx, owner, lockUpkeep, "upkeep")
	return &Upkeep{lead}, ok, err
}

// Partitions are the partitions of events, in order of their names.
func (u *Upkeep) Partitions(ctx context.Context) ([]PartitionState, error) {
	rows, _ := u.conn.Query(ctx, partitionStatesSQL) // CollectRows reports the error
	states, err := pgx.CollectRows(rows, pgx.RowToStructByPos[PartitionState])
	if err != nil {
		return nil, fmt.Errorf("read the partitions' state: %w", err)
	}
	return states, nil
}

// CleanPendingLists moves what waits in the partition's GIN indexes into their trees, so that queries
// need not read it row by row. It answers how many pages were waiting. An insert that finds its list
// full goes on without waiting while this works.
func (u *Upkeep) CleanPendingLists(ctx context.Context, partition string) (pages int64, err error) {
	if err = u.conn.QueryRow(ctx, cleanPendingSQL, partition).Scan(&pages); err != nil {
		return 0, fmt.Errorf("clean pending lists of %s: %w", partition, err)
	}
	return pages, nil
}

// Summarise brings the partition's BRIN indexes up to its last page. It answers how many page ranges
// were new. It excludes VACUUM and ANALYZE of the partition, for as long as it works.
func (u *Upkeep) Summarise(ctx context.Context, partition string) (ranges int64, err error) {
	if err = u.conn.QueryRow(ctx, summariseSQL, partition).Scan(&ranges); err != nil {
		return 0, fmt.Errorf("summarise %s: %w", partition, err)
	}
	return ranges, nil
}

// Analyse gives the planner statistics of the partition: more of its payloads than of what has fewer values.
func (u *Upkeep) Analyse(ctx context.Context, partition string) error {
	name := pgx.Identifier{"public", partition}.Sanitize() // from the catalogue; ANALYZE takes no parameter
	if _, err := u.conn.Exec(ctx, "ALTER TABLE "+name+" ALTER COLUMN payload SET STATISTICS 500; ANALYZE "+name); err != nil {
		return fmt.Errorf("analyse %s: %w", partition, err)
	}
	return nil
}

// EnsureMonth makes the partitions that at lies in, of events and of the access log, where they do not exist. Each is
// made in a short transaction of its own, and waits for no reader.
func EnsureMonth(ctx context.Context, pool *pgxpool.Pool, at time.Time) error {
	for _, parent := range []string{"events", "access_log"} {
		if err := ensureMonth(ctx, pool, parent, at); err != nil {
			return err
		}
	}
	return nil
}

func ensureMonth(ctx context.Context, pool *pgxpool.Pool, parent string, at time.Time) error {
	month := time.Date(at.UTC().Year(), at.UTC().Month(), 1, 0, 0, 0, 0, time.UTC)
	if _, err := pool.Exec(ctx, `SELECT ensure_partition($1, $2::date)`, parent, month); err != nil {
		return fmt.Errorf("make partition of %s for %s: %w", parent, month.Format("2006-01"), err)
	}
	return nil
}
