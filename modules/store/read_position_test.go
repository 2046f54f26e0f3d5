package store

import (
	"context"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"audittrail/modules/migrate/migratetest"
)

// What is at a position is found by reading few blocks, however many batches there are: also where the log ends before
// the position, which anybody may ask for.
func TestPositionsReadFewBlocks(t *testing.T) {
	t.Parallel()
	conn, err := pgx.Connect(t.Context(), migratetest.Database(t))
	require.NoError(t, err)
	defer func() { require.NoError(t, conn.Close(context.WithoutCancel(t.Context()))) }()
	const batches = 20_000
	_, err = conn.Exec(t.Context(), `
		INSERT INTO ledger_batches (log, first_position, batch, count, recorded_at, earliest, latest, leaves)
		SELECT log, 2 * n, n + 1, 2, now(), now(), now(), decode(repeat('00', 64), 'hex')
		FROM unnest(ARRAY['events', 'access']) AS log, generate_series(0, $1::bigint - 1) AS n`, batches)
	require.NoError(t, err)
	_, err = conn.Exec(t.Context(), "VACUUM (ANALYZE) ledger_batches")
	require.NoError(t, err)
	read := regexp.MustCompile(`(?m)^ *Buffers: shared hit=(\d+)`)
	for name, sql := range map[string]string{"leaf": leafAtSQL, "access entry": accessAtSQL} {
		for _, at := range []struct {
			position int64
			found    int64
		}{{0, 1}, {batches + 1, 1}, {2*batches - 1, 1}, {2 * batches, 0}, {1 << 62, 0}} {
			rows, err := conn.Query(t.Context(), sql, at.position)
			require.NoError(t, err)
			rows.Close()
			require.NoError(t, rows.Err())
			require.Equal(t, at.found, rows.CommandTag().RowsAffected(), "%s at %d", name, at.position)

			plan, err := conn.Query(t.Context(), "EXPLAIN (ANALYZE, BUFFERS, COSTS OFF, TIMING OFF) "+sql, at.position)
			require.NoError(t, err)
			lines, err := pgx.CollectRows(plan, pgx.RowTo[string])
			require.NoError(t, err)
			text := strings.Join(lines, "\n")
			blocks := 0
			if found := read.FindStringSubmatch(text); found != nil {
				blocks, err = strconv.Atoi(found[1])
				require.NoError(t, err)
			}
			require.Less(t, blocks, 10, "%s at %d:\n%s", name, at.position, text)
		}
	}
}
