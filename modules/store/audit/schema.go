package audit

import (
	"context"
	"fmt"
	"maps"
	"slices"

	"github.com/jackc/pgx/v5"
)

// It reads pg_class.
const oddTablesSQL = `SELECT c.relname::text, c.relkind::text, c.relrowsecurity OR c.relforcerowsecurity, c.relhasrules,
		c.relkind = 'r' AND EXISTS (SELECT FROM pg_inherits AS i WHERE i.inhparent = c.oid)
	FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace
	WHERE n.nspname = 'public' ORDER BY 1`

// OddTables says which tables may show something else than their rows: another relation is in their place, their
// columns are not those that the migrations made, or row security may hide rows from the role that reads. It
// believes the catalogue. replaced is true if another relation is in a table's place: reading a view may never
// end.
func (v *View) OddTables(ctx context.Context) (odd []string, replaced bool, err error) {
	missing := verifiedColumns()
	err = v.each(ctx, "read the catalogue", func(rows pgx.Rows) error {
		var (
			name, kind               string
			secured, ruled, parental bool
		)
		if err := rows.Scan(&name, &kind, &secured, &ruled, &parental); err != nil {
			return err
		}
		if _, ours := missing[name]; !ours {
			return nil
		}
		delete(missing, name)
		want := "r"
		if name == "events" || name == "access_log" {
			want = "p" // partitioned
		}
		if kind != want {
			replaced = true
			odd = append(odd, fmt.Sprintf("%s is not the table that it was made as, but %s", name, relationKind(kind)))
		}
		if secured {
			odd = append(odd, "the table "+name+" has row security: a policy may hide rows")
		}
		if ruled && kind == want {
			odd = append(odd, "the table "+name+" has a rule: something else may be read instead")
		}
		if parental {
			odd = append(odd, "other tables inherit from "+name+": their rows pass for its own")
		}
		return nil
	}, oddTablesSQL)
	for _, name := range slices.Sorted(maps.Keys(missing)) {
		odd = append(odd, "the table "+name+" is gone")
	}
	if err != nil {
		return odd, replaced, err
	}
	columns, err := v.oddColumns(ctx)
	return append(odd, columns...), replaced, err
}

// relationKind returns pg_class.relkind in words.
func relationKind(kind string) string {
	switch kind {
	case "r":
		return "a table"
	case "p":
		return "itself partitioned"
	case "f":
		return "a foreign table"
	case "v":
		return "a view"
	case "m":
		return "a materialized view"
	}
	return "a relation of kind " + kind
}

// strayKept bounds how many strays of one table are reported.
const strayKept = 100

// Each reads its table once. They also check what the tables' constraints say, since somebody may have dropped
// those.
const (
	strayBatchesSQL = `
		SELECT left(coalesce(log, ''), 100), format('batch %s of log %s: no log is named so', batch, left(log, 100))
		FROM public.ledger_batches WHERE log IS NULL OR log NOT IN ('events', 'access')
		UNION ALL
		SELECT left(coalesce(log, ''), 100), format('batch %s of log %s is there %s times', batch, left(log, 100), count(*))
		FROM public.ledger_batches GROUP BY log, batch HAVING count(*) > 1
		LIMIT $1`

	strayTilesSQL = `
		SELECT left(coalesce(log, ''), 100), format('tile %s/%s of log %s, from hash %s on, is of a place or length that no tile is of', level, tile, left(log, 100), first)
		FROM public.ledger_tiles
		WHERE (log IN ('events', 'access') AND level BETWEEN 1 AND 7 AND tile >= 0 AND first BETWEEN 0 AND 255
			AND octet_length(hashes) % 32 = 0 AND octet_length(hashes) BETWEEN 32 AND 32 * (256 - first)) IS NOT TRUE
		UNION ALL
		SELECT left(coalesce(log, ''), 100), format('tile %s/%s of log %s, from hash %s on, is there %s times', level, tile, left(log, 100), first, count(*))
		FROM public.ledger_tiles GROUP BY log, level, tile, first HAVING count(*) > 1
		LIMIT $1`

	strayCheckpointsSQL = `
		SELECT left(coalesce(log, ''), 100), format('a checkpoint of log %s is of size %s', left(log, 100), size)
		FROM public.ledger_checkpoints WHERE (log IN ('events', 'access') AND size >= 0) IS NOT TRUE
		UNION ALL
		SELECT left(coalesce(log, ''), 100), format('the checkpoint of log %s and size %s is there %s times', left(log, 100), size, count(*))
		FROM public.ledger_checkpoints GROUP BY log, size HAVING count(*) > 1
		LIMIT $1`

	straySignaturesSQL = `
		SELECT left(coalesce(log, ''), 100), format('the signature of %s for size %s of log %s belongs to no checkpoint, or is none', left(signer, 300), size, left(log, 100))
		FROM public.ledger_signatures AS s
		WHERE line IS NULL OR NOT EXISTS (SELECT FROM public.ledger_checkpoints AS c WHERE c.log = s.log AND c.size = s.size)
		LIMIT $1`
)

// Strays reads the rows of a ledger table that no walk over a log comes across, at most strayKept: rows whose
// log, place or shape is one that no row has. It calls read with the row's log, and what is wrong with the row.
func (v *View) Strays(ctx context.Context, table string, read func(log, what string)) error {
	sql := map[string]string{"ledger_batches": strayBatchesSQL, "ledger_tiles": strayTilesSQL,
		"ledger_checkpoints": strayCheckpointsSQL, "ledger_signatures": straySignaturesSQL}[table]
	return v.each(ctx, "read "+table, func(rows pgx.Rows) error {
		var log, what string
		if err := rows.Scan(&log, &what); err != nil {
			return err
		}
		read(log, what)
		return nil
	}, sql, strayKept)
}
