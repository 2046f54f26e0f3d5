package verify_test

import (
	"context"
	"errors"
	"maps"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"audittrail/modules/ledger"
	"audittrail/modules/store/audit"
)

// statements gathers what a connection is asked.
type statements struct {
	mu  sync.Mutex
	sql map[string]bool
}

func (s *statements) TraceQueryStart(ctx context.Context, _ *pgx.Conn, data pgx.TraceQueryStartData) context.Context {
	s.mu.Lock()
	defer s.mu.Unlock()
	if sql := strings.TrimSpace(data.SQL); strings.HasPrefix(sql, "SELECT") || strings.HasPrefix(sql, "WITH") {
		s.sql[sql] = true
	}
	return ctx
}

func (s *statements) TraceQueryEnd(context.Context, *pgx.Conn, pgx.TraceQueryEndData) {}

// viewStatements are the statements of all methods of a View.
func viewStatements(t *testing.T, h *history) []string {
	t.Helper()
	ctx := t.Context()
	traced := &statements{sql: map[string]bool{}}
	snapshot, err := audit.OpenSnapshot(ctx, 1, func(ctx context.Context) (*pgx.Conn, error) {
		config, err := pgx.ParseConfig(h.url)
		require.NoError(t, err)
		config.Tracer = traced
		return pgx.ConnectConfig(ctx, config)
	})
	require.NoError(t, err)
	defer snapshot.Close() //nolint:errcheck // nothing was written
	v := snapshot.Views()[0]
	partitions, err := v.Partitions(ctx, ledger.Events)
	require.NoError(t, err)
	entries, err := v.Partitions(ctx, ledger.Access)
	require.NoError(t, err)
	keys, err := v.KeyPages(ctx)
	require.NoError(t, err)
	rows, accesses := audit.AllPages(partitions), audit.AllPages(entries)
	require.NotEmpty(t, accesses)
	require.NotEmpty(t, rows)
	require.NotEmpty(t, keys)
	only := func(_ any, err error) error { return err }
	calls := map[string]func() error{
		"Untrusted": func() error { return only(v.Untrusted(ctx)) },
		"OddTables": func() error { _, _, err := v.OddTables(ctx); return err },
		"Rows":      func() error { return errors.Join(only(v.Rows(ctx, rows[0])), only(v.Rows(ctx, accesses[0]))) },
		"Keys":      func() error { return only(v.Keys(ctx, keys[0])) },
		"Lines": func() error {
			return errors.Join(only(v.Lines(ctx, keys[0])), only(v.Lines(ctx, rows[0])), only(v.Lines(ctx, accesses[0])))
		},
		"Pending": func() error {
			return v.Pending(ctx, func(audit.LedgerBatch, []ledger.Hash) error { return nil })
		},
		"Batches":         func() error { return v.Batches(ctx, ledger.Events, func(audit.LedgerBatch) error { return nil }) },
		"NumberedBatches": func() error { return only(v.NumberedBatches(ctx, ledger.Events, []int64{1})) },
		"Leaves": func() error {
			return v.Leaves(ctx, ledger.Events, 0, 1, func(int64, int64, []ledger.Hash) error { return nil })
		},
		"Checkpoints": func() error { return only(v.Checkpoints(ctx, ledger.Events, 0, 1)) },
		"TileParts": func() error {
			return v.TileParts(ctx, ledger.Events, []ledger.TileID{{Level: 1}}, func(audit.TilePart) {})
		},
		"Reconcile":  func() error { return only(v.Reconcile(ctx)) },
		"Standing":   func() error { _, _, _, err := v.Standing(ctx, ledger.Events); return err },
		"CountRows":  func() error { return only(v.CountRows(ctx, "ledger_tiles")) },
		"Partitions": func() error { return nil }, // done
		"KeyPages":   func() error { return nil },
		"BeginTx":    func() error { return nil }, // Reconcile's
	}
	for m := range reflect.TypeOf(v).Methods() {
		require.Contains(t, calls, m.Name, "a new method's statements have to be looked at")
	}
	for name, call := range calls {
		require.NoError(t, call(), name)
	}
	return slices.Sorted(maps.Keys(traced.sql))
}

// TestFunctionsThatStatementsCall: all that statements of a View lead to are the program's own functions,
// and calledFunctions has their names.
func TestFunctionsThatStatementsCall(t *testing.T) {
	t.Parallel()
	h := newHistory(t)
	h.grow(t, 2)
	h.accesses(t, 1, 1, 1)
	owner, err := pgx.Connect(t.Context(), h.url)
	require.NoError(t, err)
	defer owner.Close(context.Background()) //nolint:errcheck // nothing was written
	functions := map[string]bool{}
	for _, sql := range viewStatements(t, h) {
		readTree(t, owner, sql, functions)
	}
	rows, err := owner.Query(t.Context(), `WITH RECURSIVE called AS (
			SELECT oid FROM pg_proc WHERE oid = ANY ($1::bigint[]::oid[])
			UNION
			SELECT f FROM called JOIN pg_aggregate ON aggfnoid = called.oid, unnest(ARRAY[aggtransfn::oid, aggfinalfn::oid]) AS f WHERE f <> 0
		)
		SELECT DISTINCT p.proname::text, p.prolang <> 12,
			EXISTS (SELECT FROM pg_proc AS o WHERE o.proname = p.proname AND o.pronamespace = p.pronamespace AND o.prolang = 14)
		FROM called JOIN pg_proc AS p USING (oid) ORDER BY 1`, slices.Sorted(maps.Keys(functions)))
	require.NoError(t, err)
	called := map[string]bool{}
	var name string
	var outside, shipped bool
	_, err = pgx.ForEachRow(rows, []any{&name, &outside, &shipped}, func() error {
		assert.False(t, outside, "%s is not a function of the program", name)
		called[name] = shipped
		return nil
	})
	require.NoError(t, err)
	require.Greater(t, len(called), 30)
	for name, shipped := range called {
		listed, ok := audit.FunctionsCalled()[name]
		assert.True(t, ok && listed == shipped, "%q: %t,", name, shipped)
	}
}

// readTree finds out which functions a statement calls, by the tree that PostgreSQL keeps of a view.
func readTree(t *testing.T, owner *pgx.Conn, sql string, functions map[string]bool) {
	t.Helper()
	sql = regexp.MustCompile(`\$\d+\b`).ReplaceAllString(sql, "NULL")
	_, err := owner.Exec(t.Context(), `CREATE OR REPLACE TEMP VIEW statement AS SELECT WHERE EXISTS (`+sql+`)`)
	require.NoError(t, err, sql)
	var tree string
	require.NoError(t, owner.QueryRow(t.Context(), `SELECT ev_action::text FROM pg_rewrite WHERE ev_class = 'pg_temp.statement'::regclass`).Scan(&tree))
	for _, found := range regexp.MustCompile(`:(?:funcid|opfuncid|winfnoid|aggfnoid) (\d+)`).FindAllStringSubmatch(tree, -1) {
		functions[found[1]] = true
	}
	for _, found := range regexp.MustCompile(`:(?:eqop|sortop|opno) (\d+)`).FindAllStringSubmatch(tree, -1) {
		var code string
		require.NoError(t, owner.QueryRow(t.Context(), `SELECT coalesce((SELECT oprcode::oid FROM pg_operator WHERE oid = $1::bigint::oid), 0)::text`, found[1]).Scan(&code))
		functions[code] = true
	}
}
