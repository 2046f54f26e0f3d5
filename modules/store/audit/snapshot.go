// Package audit reads the whole event store for a verification: one snapshot of the database, page by page.
// Its statements trust neither the database's settings nor what users have added to its catalogue. Package
// verify decides what the rows mean. The package also reconciles the accounting of offsets.
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

// Snapshot is one snapshot of the database that several connections share. Workers so read the same history
// while ingest goes on. The transactions are read-only and take no lock that an append waits for. While they
// last, VACUUM can't remove old rows of the state tables.
type Snapshot struct {
	views []*View
}

// View reads a Snapshot through one connection. Two goroutines MUST NOT use it at once.
type View struct {
	conn *pgx.Conn
	tx   pgx.Tx
}

// Somebody who may alter a role or a database can give its sessions other settings. Then a name may mean
// another table, a text another time, or an error may end the connection. So every setting that could change
// an answer is set here.
//
// Names are looked up in pg_catalog only. A function in another schema could otherwise win over the one in
// pg_catalog if its argument types fit better. So statements write our tables with their schema, public.
// (Untrusted checks pg_catalog itself.) Row security stays on: a table that has it is reported, and switching
// it off would turn each statement on such a table into an error.
//
// The planner's settings suit a scan of everything: the workers are ours and not the server's, JIT
// compilation takes longer than any statement, and no check constraint is believed.
const viewSettingsSQL = `SET LOCAL search_path = pg_catalog, pg_temp;
	SET LOCAL exit_on_error = off;
	SET LOCAL client_encoding = 'UTF8';
	SET LOCAL timezone = 'UTC';
	SET LOCAL datestyle = 'ISO, YMD';
	SET LOCAL bytea_output = 'hex';
	SET LOCAL standard_conforming_strings = on;
	SET LOCAL transform_null_equals = off;
	SET LOCAL row_security = on;
	SET LOCAL lock_timeout = '60s'; -- do not wait longer for somebody who locks a table
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

// A view reads everything after this savepoint. A failed statement is rolled back to it, which keeps the
// snapshot. It is made once, so statements pay nothing for it.
const markSQL = `SAVEPOINT statement`

const toMarkSQL = `ROLLBACK TO SAVEPOINT statement`

// OpenSnapshot opens n connections, at least one, that share a snapshot. Their role needs the right to read all
// tables, and no other. The caller MUST call Close.
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

// atLeast17 reports whether the server is PostgreSQL 17 or later, by what it said when connecting. No function is
// called.
func atLeast17(conn *pgx.Conn) bool {
	version := conn.PgConn().ParameterStatus("server_version") // 16.4, 17beta1, 18.0 (Debian …)
	digits := len(version) - len(strings.TrimLeft(version, "0123456789"))
	major, err := strconv.Atoi(version[:digits])
	return err == nil && major >= 17
}

// Views returns one View for each connection.
func (s *Snapshot) Views() []*View { return s.views }

// Close closes all connections. Its error may be ignored, since nothing was written.
func (s *Snapshot) Close() error {
	var group sync.WaitGroup
	errs := make([]error, len(s.views))
	for i, v := range s.views {
		group.Go(func() { errs[i] = v.close() })
	}
	group.Wait()
	return errors.Join(errs...)
}

// close closes the connection, which ends its transaction. It does so even if the caller's context has ended.
func (v *View) close() error { return v.conn.Close(context.Background()) }

// BeginTx implements TransactionStarter: Reconcile's transaction is a savepoint in the snapshot.
func (v *View) BeginTx(ctx context.Context, _ pgx.TxOptions) (pgx.Tx, error) { return v.tx.Begin(ctx) }

// Standing reports whether the server is a replica, which may be behind its primary, how many entries a log
// has, and the size of its last checkpoint.
func (v *View) Standing(ctx context.Context, log ledger.Log) (replica bool, entries, kept int64, err error) {
	err = v.each(ctx, "read the size of the log", func(rows pgx.Rows) error { return rows.Scan(&replica, &entries, &kept) },
		`SELECT pg_is_in_recovery(),
			coalesce((SELECT first_position + count FROM public.ledger_batches WHERE log = $1::text ORDER BY first_position DESC LIMIT 1), 0),
			coalesce((SELECT size FROM public.ledger_checkpoints WHERE log = $1::text ORDER BY size DESC LIMIT 1), 0)`, string(log))
	return replica, entries, kept, err
}

// Reconcile reconciles the accounting in the snapshot.
func (v *View) Reconcile(ctx context.Context) (*Reconciliation, error) {
	return Reconcile(ctx, v, nil)
}

// each calls read for each row of a statement. It holds one row in memory at a time. Statements cast their
// parameters, so that PostgreSQL refuses to compare them with a column of another type. An *UnreadableError
// says that the statement failed on what the tables hold. read may have been called before that. The view can
// be used on.
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
