package migrate

import "fmt"

// The guard looks which tables hold rows before a down migration, and which of them are gone or have
// fewer columns after it, in the migration's own transaction: nothing has to declare what it drops. The tables are locked
// first, so that no row comes in between. Partitions count as their parent; rows that the migrations
// themselves put there (installation) do not count.

// codeOccupied is an SQLSTATE of a class that PostgreSQL does not use.
const codeOccupied = "AT001"

const rememberOccupied = `
DO $audittrail_guard$
DECLARE
    target   regclass;
    occupied oid[] := '{}';
    found    boolean;
BEGIN
    FOR target IN
        SELECT oid FROM pg_catalog.pg_class
        WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'p') AND NOT relispartition
          AND relname NOT IN ('schema_migrations', 'installation')
        ORDER BY oid
    LOOP
        EXECUTE format('LOCK TABLE %s IN ACCESS EXCLUSIVE MODE', target);
        EXECUTE format('SELECT EXISTS (SELECT FROM %s)', target) INTO found;
        IF found THEN
            occupied := occupied || target::oid;
        END IF;
    END LOOP;
    PERFORM set_config('audittrail.occupied', (
        SELECT coalesce(json_agg(json_build_object('table', c.oid, 'name', c.relname, 'columns', (
            SELECT count(*) FROM pg_catalog.pg_attribute AS a
            WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped))), '[]')::text
        FROM pg_catalog.pg_class AS c WHERE c.oid = ANY (occupied)), true);
END
$audittrail_guard$;
`

const refuseDropped = `
DO $audittrail_guard$
DECLARE
    dropped text;
BEGIN
    SELECT string_agg(name, ', ' ORDER BY name) INTO dropped
    FROM json_to_recordset(current_setting('audittrail.occupied')::json) AS o ("table" oid, name text, columns bigint)
    WHERE columns > (SELECT count(*) FROM pg_catalog.pg_attribute AS a
        WHERE a.attrelid = o."table" AND a.attnum > 0 AND NOT a.attisdropped);
    IF dropped IS NOT NULL THEN
        RAISE EXCEPTION '%', dropped USING ERRCODE = 'AT001';
    END IF;
END
$audittrail_guard$;
`

// record writes a version down in the migration's own transaction: what it says was applied, whatever
// happens to the connection. A negative version is the empty database, which has no row.
func record(version int) string {
	sql := "\nRESET ROLE;\nDELETE FROM public.schema_migrations;\n"
	if version >= 0 {
		sql += fmt.Sprintf("INSERT INTO public.schema_migrations (version, dirty) VALUES (%d, false);\n", version)
	}
	return sql
}
