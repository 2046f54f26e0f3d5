// Package audit reads the whole event store again, to verify it: one state of the database, page by page, by
// statements that trust neither its settings nor what users have put into its catalogue. What it all means
// is package verify's to say.
package audit

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync"

	"github.com/jackc/pgx/v5"

	"audittrail/modules/ledger"
)

// Snapshot is one state of the database, seen by several connections at once, so that workers read a
// history that stands still while ingest goes on. The connections' transactions are read-only and take
// no lock that an append would wait for. But for as long as they last, VACUUM leaves old rows of the
// state tables standing.
type Snapshot struct {
	views []*View
}

// View is one connection's sight of a Snapshot. It MUST NOT be used by two goroutines at once.
type View struct {
	conn *pgx.Conn
	tx   pgx.Tx
}

// Whoever may alter a role or a database may give its sessions other settings, so that names mean other
// tables, texts other times, or an error ends the connection: what makes a difference to an answer is set
// here. Names are looked up in the catalogue alone: a function of another schema that takes exactly what a
// statement gives it would win over one of the catalogue's that takes more. So the statements of views
// name our tables with their schema, public (Untrusted looks at the catalogue itself). Row security stays
// on: where it hides rows, that is reported, and an error instead would hide all of them.
//
// And the planner is kept to the plans that a walk over everything wants: workers are ours, not the
// server's, compiling a statement takes longer than any of ours, and no check constraint is believed.
const viewSettingsSQL = `SET LOCAL search_path = pg_catalog, pg_temp;
	SET LOCAL exit_on_error = off;
	SET LOCAL client_encoding = 'UTF8';
	SET LOCAL timezone = 'UTC';
	SET LOCAL datestyle = 'ISO, YMD';
	SET LOCAL bytea_output = 'hex';
	SET LOCAL standard_conforming_strings = on;
	SET LOCAL transform_null_equals = off;
	SET LOCAL row_security = on;
	SET LOCAL lock_timeout = '60s'; -- whoever holds a table for longer is named by the error's class, and not waited for
	SET LOCAL statement_timeout = 0;
	SET LOCAL idle_in_transaction_session_timeout = 0;
	SET LOCAL quote_all_identifiers = off;
	SET LOCAL constraint_exclusion = off;
	SET LOCAL enable_seqscan = on;
	SET LOCAL enable_indexscan = on;
	SET LOCAL enable_indexonlyscan = on;
	SET LOCAL enable_bitmapscan = on;
	SET LOCAL enable_tidscan = on;
	SET LOCAL enable_sort = on;
	SET LOCAL enable_hashagg = on;
	SET LOCAL enable_hashjoin = on;
	SET LOCAL enable_mergejoin = on;
	SET LOCAL enable_nestloop = on;
	SET LOCAL enable_material = on;
	SET LOCAL enable_partition_pruning = on;
	SET LOCAL seq_page_cost = 1;
	SET LOCAL random_page_cost = 4;
	SET LOCAL cpu_tuple_cost = 0.01;
	SET LOCAL cpu_index_tuple_cost = 0.005;
	SET LOCAL cpu_operator_cost = 0.0025;
	SET LOCAL max_parallel_workers_per_gather = 0;
	SET LOCAL jit = off`

// From PostgreSQL 17 on.
const transactionTimeoutSQL = `SET LOCAL transaction_timeout = 0`

// Behind it lies all that a view reads, so that a statement that failed is undone without the snapshot.
// It is made once, and a statement costs nothing for it.
const markSQL = `SAVEPOINT statement`

const toMarkSQL = `ROLLBACK TO SAVEPOINT statement`

// OpenSnapshot opens n connections, at least one, that see one state of the database. Whoever connects
// reads all tables and needs no other right. Close ends them.
func OpenSnapshot(ctx context.Context, n int, connect func(context.Context) (*pgx.Conn, error)) (*Snapshot, error) {
	s := &Snapshot{}
	var id string
	for range max(n, 1) {
		v, err := openView(ctx, connect, id)
		if err != nil {
			return nil, errors.Join(fmt.Errorf("open snapshot: %w", err), s.Close())
		}
		s.views = append(s.views, v)
		if id == "" { // not within a savepoint: PostgreSQL refuses that
			err = v.tx.QueryRow(ctx, `SELECT pg_export_snapshot()`).Scan(&id)
		}
		if err == nil {
			_, err = v.tx.Exec(ctx, markSQL)
		}
		if err != nil {
			return nil, errors.Join(fmt.Errorf("export snapshot: %w", err), s.Close())
		}
	}
	return s, nil
}

func openView(ctx context.Context, connect func(context.Context) (*pgx.Conn, error), id string) (*View, error) {
	conn, err := connect(ctx)
	if err != nil {
		return nil, err
	}
	v := &View{conn: conn}
	v.tx, err = conn.BeginTx(ctx, pgx.TxOptions{IsoLevel: pgx.RepeatableRead, AccessMode: pgx.ReadOnly})
	if err == nil && id != "" {
		// The id is the server's own. SET takes no parameters, and this must be the first statement.
		_, err = v.tx.Exec(ctx, `SET TRANSACTION SNAPSHOT '`+id+`'`)
	}
	if err == nil {
		_, err = v.tx.Exec(ctx, viewSettingsSQL)
	}
	if err == nil && atLeast17(conn) {
		_, err = v.tx.Exec(ctx, transactionTimeoutSQL)
	}
	if err != nil {
		return nil, errors.Join(err, v.close())
	}
	return v, nil
}

// atLeast17 goes by what the server said as it was connected to: no function is asked.
func atLeast17(conn *pgx.Conn) bool {
	version := conn.PgConn().ParameterStatus("server_version") // 16.4, 17beta1, 18.0 (Debian …)
	digits := len(version) - len(strings.TrimLeft(version, "0123456789"))
	major, err := strconv.Atoi(version[:digits])
	return err == nil && major >= 17
}

// Views are the connections.
func (s *Snapshot) Views() []*View { return s.views }

// Close ends all connections. Nothing was written, so nothing is lost if one of them is gone.
func (s *Snapshot) Close() error {
	var group sync.WaitGroup
	errs := make([]error, len(s.views))
	for i, v := range s.views {
		group.Go(func() { errs[i] = v.close() })
	}
	group.Wait()
	return errors.Join(errs...)
}

// close closes the connection, which ends its transaction. It goes on where the caller was stopped.
func (v *View) close() error { return v.conn.Close(context.Background()) }

// BeginTx implements TransactionStarter within the snapshot: what Reconcile begins is a savepoint.
func (v *View) BeginTx(ctx context.Context, _ pgx.TxOptions) (pgx.Tx, error) { return v.tx.Begin(ctx) }

// Replica says whether the server is one, which may be behind its primary.
func (v *View) Replica(ctx context.Context) (is bool, err error) {
	err = v.each(ctx, "ask for the server's state", func(rows pgx.Rows) error { return rows.Scan(&is) }, `SELECT pg_is_in_recovery()`)
	return is, err
}

// Sizes are how many entries a log has, and the size of its last checkpoint.
func (v *View) Sizes(ctx context.Context, log ledger.Log) (entries, kept int64, err error) {
	err = v.each(ctx, "read the size of the log", func(rows pgx.Rows) error { return rows.Scan(&entries, &kept) },
		`SELECT coalesce((SELECT first_position + count FROM public.ledger_batches WHERE log = $1::text ORDER BY first_position DESC LIMIT 1), 0),
			coalesce((SELECT size FROM public.ledger_checkpoints WHERE log = $1::text ORDER BY size DESC LIMIT 1), 0)`, string(log))
	return entries, kept, err
}

// Reconcile is the accounting, as the snapshot has it.
func (v *View) Reconcile(ctx context.Context) (*Reconciliation, error) {
	return Reconcile(ctx, v, nil)
}

// each reads the rows of a statement with at most a row in memory. Parameters are cast in the statement, so
// that it is PostgreSQL that refuses to compare them with a column of another type. A *UnreadableError says
// that it failed on what it read; read may have been called before, and the view is as good as it was.
func (v *View) each(ctx context.Context, what string, read func(pgx.Rows) error, sql string, args ...any) error {
	err := v.query(ctx, read, sql, args...)
	if err == nil {
		return nil
	}
	var bad *UnreadableError
	if !errors.As(Unreadable(what, err), &bad) {
		return fmt.Errorf("%s: %w", what, err)
	}
	if _, failed := v.tx.Exec(ctx, toMarkSQL); failed != nil {
		return fmt.Errorf("%s: %w: %w", what, err, failed)
	}
	return bad
}

func (v *View) query(ctx context.Context, read func(pgx.Rows) error, sql string, args ...any) error {
	rows, err := v.tx.Query(ctx, sql, args...)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		if err := read(rows); err != nil {
			return err
		}
	}
	return rows.Err()
}
