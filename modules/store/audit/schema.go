package audit

import (
	"cmp"
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

// It reads each table with its columns. 950 is the oid of the collation "C", which all our texts have.
const oddTablesSQL = `SELECT c.relname::text, c.relkind::text, c.relrowsecurity OR c.relforcerowsecurity, c.relhasrules,
		c.relkind = 'r' AND EXISTS (SELECT FROM pg_inherits AS i WHERE i.inhparent = c.oid),
		a.attname::text, t.typname::text, tn.nspname::text, t.oid, a.attcollation IN (0::oid, 950::oid), a.attgenerated::text <> ''::text
	FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace JOIN pg_attribute AS a ON a.attrelid = c.oid
		JOIN pg_type AS t ON t.oid = a.atttypid JOIN pg_namespace AS tn ON tn.oid = t.typnamespace
	WHERE n.nspname = 'public' AND a.attnum > 0 AND NOT a.attisdropped ORDER BY 1, a.attnum`

// OddTables says which tables may show something else than their rows: another relation is in their place, their
// columns are not those that the migrations made, or row security may hide rows from the role that reads. It
// believes the catalogue. It does not check NOT NULL: every statement expects NULL. replaced is true if another
// relation is in a table's place: reading a view may never end.
func (v *View) OddTables(ctx context.Context) (odd []string, replaced bool, err error) {
	missing := verifiedColumns()
	seen := map[string]bool{} // tables
	say := func(format string, args ...any) { odd = append(odd, fmt.Sprintf(format, args...)) }
	err = v.each(ctx, "read the catalogue", func(rows pgx.Rows) error {
		var (
			table, kind, column, typ, schema           string
			secured, ruled, parental, plain, generated bool
			oid                                        uint32
		)
		if err := rows.Scan(&table, &kind, &secured, &ruled, &parental, &column, &typ, &schema, &oid, &plain, &generated); err != nil {
			return err
		}
		if missing[table] == nil {
			return nil
		}
		if !seen[table] {
			seen[table] = true
			replaced = oddTable(say, table, kind, secured, ruled, parental) || replaced
		}
		want, ours := missing[table][column]
		if !ours {
			return nil
		}
		delete(missing[table], column)
		switch name := table + "." + column; {
		case typ != want || schema != "pg_catalog" || oid >= builtIn:
			say("the column %s is of type %s.%s, not %s: it may be read by somebody else's functions", name, schema, typ, want)
		case !plain:
			say("the column %s has another collation: comparisons and order can't be believed", name)
		case generated:
			say("the column %s is generated: it holds the result of an expression, not what was stored", name)
		}
		return nil
	}, oddTablesSQL)
	for _, table := range slices.Sorted(maps.Keys(missing)) {
		if !seen[table] {
			say("the table %s is gone", table)
		} else if gone := slices.Sorted(maps.Keys(missing[table])); err == nil && len(gone) > 0 {
			say("the table %s has lost the column %s", table, strings.Join(gone, ", "))
		}
	}
	return odd, replaced, err
}

// oddTable says what is odd about a table as a whole, and reports whether another relation is in its place.
func oddTable(say func(string, ...any), table, kind string, secured, ruled, parental bool) (replaced bool) {
	want := "r"
	if table == "events" || table == "access_log" {
		want = "p" // partitioned
	}
	if kind != want {
		say("%s is not the table that it was made as, but %s", table, relationKind(kind))
	}
	if secured {
		say("the table %s has row security: a policy may hide rows", table)
	}
	if ruled && kind == want {
		say("the table %s has a rule: something else may be read instead", table)
	}
	if parental {
		say("other tables inherit from %s: their rows pass for its own", table)
	}
	return kind != want
}

// relationKind returns pg_class.relkind in words.
func relationKind(kind string) string {
	words := map[string]string{"r": "a table", "p": "itself partitioned", "f": "a foreign table", "v": "a view", "m": "a materialized view"}
	return cmp.Or(words[kind], "a relation of kind "+kind)
}
