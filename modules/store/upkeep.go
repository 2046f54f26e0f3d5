package store

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
)

// Upkeep is the session of the process that maintains partitions and indexes. That needs ownership, so its role is
// audittrail_owner.
type Upkeep struct{ *Lead }

// PartitionState describes a partition of events.
type PartitionState struct {
	Name     string
	Inserted int64     // rows ever inserted, by the statistics: up to 10 s late, 0 after a crash
	Bytes    int64     // size of the table without its indexes
	Analysed bool      // the planner has statistics
	End      time.Time // exclusive, of its events' times
	ByCause  bool      // its btree by causation id is there, see BuildByCause
}

const (
	// reltuples is -1 until the first ANALYZE or VACUUM. Unlike the statistics it survives a crash.
	partitionStatesSQL = `SELECT c.relname::text, coalesce(s.n_tup_ins, 0), pg_relation_size(c.oid), c.reltuples >= 0,
			least(substring(pg_get_expr(c.relpartbound, c.oid) FROM $$TO \('([^']*)'\)$$)::timestamptz, '9999-12-31'),
			EXISTS (SELECT FROM pg_index x JOIN pg_class n ON n.oid = x.indexrelid
				WHERE x.indrelid = c.oid AND x.indisvalid AND n.relname = c.relname || '` + byCause + `')
		FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid LEFT JOIN pg_stat_all_tables s ON s.relid = c.oid
		WHERE i.inhparent = 'public.events'::regclass ORDER BY 1`
	cleanPendingSQL = `SELECT coalesce(sum(gin_clean_pending_list(i.indexrelid)), 0)::bigint ` + partitionIndexes + `'gin'`
	summariseSQL    = `SELECT coalesce(sum(brin_summarize_new_values(i.indexrelid)), 0)::bigint ` + partitionIndexes + `'brin'`

	partitionIndexes = `FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid JOIN pg_am m ON m.oid = c.relam
		WHERE i.indrelid = (SELECT oid FROM pg_class WHERE relname = $1 AND relnamespace = 'public'::regnamespace)
		AND i.indisvalid AND m.amname = `
)

// LeadUpkeep gives the caller the lead of upkeep if no other process has it. owner is a pool of the role
// audittrail_owner.
func LeadUpkeep(ctx context.Context, owner *pgxpool.Pool) (*Upkeep, bool, error) {
	lead, ok, err := tryLead(ctx, owner, lockUpkeep, "upkeep")
	return &Upkeep{lead}, ok, err
}

// Partitions returns the partitions of events, in order of their names.
func (u *Upkeep) Partitions(ctx context.Context) ([]PartitionState, error) {
	rows, _ := u.conn.Query(ctx, partitionStatesSQL) // CollectRows reports the error
	states, err := pgx.CollectRows(rows, pgx.RowToStructByPos[PartitionState])
	if err != nil {
		return nil, fmt.Errorf("read the partitions' state: %w", err)
	}
	return states, nil
}

// MonthPartition returns the name of the partition of events for the month of at, in UTC, since the installation.
func MonthPartition(at time.Time) string { return "events_" + at.UTC().Format("200601") }

// CleanPendingLists moves the pending entries of the partition's GIN indexes into their trees, so that queries need
// not read them one by one. It returns how many pages were pending. Inserts do not wait for it, even if a list is
// full.
func (u *Upkeep) CleanPendingLists(ctx context.Context, partition string) (pages int64, err error) {
	if err = u.conn.QueryRow(ctx, cleanPendingSQL, partition).Scan(&pages); err != nil {
		return 0, fmt.Errorf("clean pending lists of %s: %w", partition, err)
	}
	return pages, nil
}

// Summarise updates the partition's BRIN indexes up to the last page. It returns how many page ranges were new. It
// blocks VACUUM and ANALYZE of the partition meanwhile.
func (u *Upkeep) Summarise(ctx context.Context, partition string) (ranges int64, err error) {
	if err = u.conn.QueryRow(ctx, summariseSQL, partition).Scan(&ranges); err != nil {
		return 0, fmt.Errorf("summarise %s: %w", partition, err)
	}
	return ranges, nil
}

// Analyse gives the planner statistics of the partition, with a larger sample for payloads.
func (u *Upkeep) Analyse(ctx context.Context, partition string) error {
	name := pgx.Identifier{"public", partition}.Sanitize() // from the catalogue; ANALYZE takes no parameter
	if _, err := u.conn.Exec(ctx, "ALTER TABLE "+name+" ALTER COLUMN payload SET STATISTICS 500; ANALYZE "+name); err != nil {
		return fmt.Errorf("analyse %s: %w", partition, err)
	}
	return nil
}

// EnsureMonth makes the partitions for the month of at, of events and of the access log, if they do not exist. Each is
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
