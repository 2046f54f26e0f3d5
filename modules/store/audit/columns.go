package audit

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"
)

// verifiedColumns returns the columns that a verification reads, with the types that the migrations gave them. With
// another type, a statement would call other functions and operators, which may be somebody else's.
func verifiedColumns() map[string]map[string]string {
	return map[string]map[string]string{
		"events": {
			"id": "int8", "timestamp": "timestamptz", "created_at": "timestamptz", "kafka_offset": "int8", "kafka_partition": "int4",
			"version": "int4", "event_id": "uuid", "event_type": "varchar", "aggregate_type": "varchar", "aggregate_id": "varchar",
			"kafka_topic": "text", "salt": "bytea", "payload": "jsonb", "metadata": "jsonb",
			"sealed": "bytea",
		},
		"event_keys":         {"event_id": "uuid", "batch": "int8", "timestamp": "timestamptz", "digest": "bytea"},
		"ledger_batches":     {"first_position": "int8", "batch": "int8", "recorded_at": "timestamptz", "earliest": "timestamptz", "latest": "timestamptz", "count": "int4", "log": "text", "leaves": "bytea"},
		"ledger_tiles":       {"tile": "int8", "level": "int2", "first": "int2", "log": "text", "hashes": "bytea"},
		"ledger_checkpoints": {"size": "int8", "signed_at": "timestamptz", "log": "text", "root": "bytea", "note": "text"},
		"ledger_signatures":  {"size": "int8", "signed_at": "timestamptz", "log": "text", "signer": "text", "line": "text"},
		"ingest_ranges": {
			"topic_id": "uuid", "partition": "int4", "stored": "int4", "from_offset": "int8", "to_offset": "int8", "duplicates": "int4",
			"dead_lettered": "int4", "absent": "int8", "batch": "int8",
		},
		"ingest_offsets": {"topic_id": "uuid", "partition": "int4", "first_offset": "int8", "next_offset": "int8", "topic": "text"},
		"ingest_admissions": {
			"topic_id": "uuid", "from_log": "uuid", "to_log": "uuid", "partition": "int4", "from_offset": "int8", "to_offset": "int8", "topic": "text",
		},
		"dead_letters":       {"id": "int8", "offset": "int8", "topic_id": "uuid", "partition": "int4", "topic": "text", "reason": "text"},
		"dead_letter_fates":  {"dead_letter_id": "int8", "batch": "int8", "event_id": "uuid", "fate": "text"},
		"dead_letter_tally":  {"change": "int8", "reason": "text"},
		"dead_letter_outbox": {"dead_letter_id": "int8"},
		"access_log":         {"id": "int8", "time": "timestamptz", "entry": "jsonb"},
		"ledger_pending":     {"batch": "int8", "count": "int4", "log": "text", "leaves": "bytea"},
	}
}

// 950 is the oid of the collation "C", which all our texts have.
const columnsSQL = `SELECT c.relname::text, a.attname::text, t.typname::text, n.nspname::text, t.oid, a.attcollation IN (0::oid, 950::oid), a.attgenerated::text <> ''::text
	FROM pg_attribute AS a JOIN pg_class AS c ON c.oid = a.attrelid JOIN pg_namespace AS s ON s.oid = c.relnamespace
		JOIN pg_type AS t ON t.oid = a.atttypid JOIN pg_namespace AS n ON n.oid = t.typnamespace
	WHERE s.nspname = 'public' AND a.attnum > 0 AND NOT a.attisdropped ORDER BY 1, a.attnum`

// oddColumns says which columns are not what the migrations made. It does not check NOT NULL: every statement
// expects NULL.
func (v *View) oddColumns(ctx context.Context) (odd []string, err error) {
	tables := verifiedColumns()
	present := map[string]bool{}
	err = v.each(ctx, "read the catalogue's columns", func(rows pgx.Rows) error {
		var (
			table, column, kind, schema string
			oid                         uint32
			plain, generated            bool
		)
		if err := rows.Scan(&table, &column, &kind, &schema, &oid, &plain, &generated); err != nil {
			return err
		}
		want, ours := tables[table][column]
		present[table] = true
		if !ours {
			return nil
		}
		delete(tables[table], column)
		switch name := table + "." + column; {
		case kind != want || schema != "pg_catalog" || oid >= builtIn:
			odd = append(odd, fmt.Sprintf("the column %s is of type %s.%s, not %s: it may be read by somebody else's functions", name, schema, kind, want))
		case !plain:
			odd = append(odd, "the column "+name+" has another collation: comparisons and order can't be believed")
		case generated:
			odd = append(odd, "the column "+name+" is generated: it holds the result of an expression, not what was stored")
		}
		return nil
	}, columnsSQL)
	for _, table := range slices.Sorted(maps.Keys(tables)) {
		if gone := slices.Sorted(maps.Keys(tables[table])); err == nil && present[table] && len(gone) > 0 {
			odd = append(odd, "the table "+table+" has lost the column "+strings.Join(gone, ", "))
		}
	}
	return odd, err
}
