package migrations_test

import (
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"audittrail/modules/migrate/migratetest"
)

const analyst = "audittrail_analyst"

// Nothing but the analysts' views can be read by their role: no table, partition, sequence or other role's function.
func TestAnalystsReadTheirViewsAlone(t *testing.T) {
	url := migratetest.Database(t)
	owner, conn := connect(t, url), connect(t, url)
	execute(t, conn, "SET SESSION AUTHORIZATION "+analyst) // not a superuser who acts as the role
	var views []string
	for _, name := range list[string](t, owner, `SELECT relname::text FROM pg_class
		WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'p', 'v', 'm', 'f', 'S') ORDER BY 1`) {
		relation := pgx.Identifier{name}.Sanitize()
		isView := strings.HasPrefix(name, "analyst_")
		require.Equal(t, isView, allowed(t, conn, "SELECT FROM "+relation), name)
		for _, sql := range []string{"INSERT INTO % DEFAULT VALUES", "DELETE FROM % WHERE false", "TRUNCATE %", "LOCK TABLE % IN ACCESS EXCLUSIVE MODE"} {
			failed := try(t, conn, strings.ReplaceAll(sql, "%", relation))
			require.NotNil(t, failed, "%s: %s", sql, name)
		}
		if isView {
			views = append(views, name)
			require.Nil(t, try(t, conn, "SELECT * FROM "+relation), name)
			require.NotEmpty(t, scan[*string](t, owner, "SELECT obj_description($1::text::regclass)", name), "%s: what it is for", name)
		}
	}
	require.NotEmpty(t, views)
	for _, function := range list[string](t, owner, `SELECT p.oid::regprocedure::text FROM pg_proc AS p
		WHERE p.pronamespace = 'public'::regnamespace AND has_function_privilege('audittrail_analyst', p.oid, 'EXECUTE')`) {
		t.Errorf("%s may be called by analysts", function)
	}
	for _, sql := range []string{"SET ROLE audittrail_owner", "SET ROLE audittrail_api", "CREATE TABLE public.mine ()", "CREATE VIEW public.mine AS SELECT 1", "SELECT nextval('event_batches')"} {
		require.NotNil(t, try(t, conn, sql), sql)
	}
}

// A function of an analyst's own is not shown the rows that the view of anomalies leaves out.
func TestAnalystsSeeNothingOfTheAccessLog(t *testing.T) {
	url := migratetest.Database(t)
	execute(t, connect(t, url), `INSERT INTO anomalies (started_at, observed, expected, distance, id, kind, subject, detail, evidence) VALUES
		(now(), 1, 0, 1, 'a', 'rate', 'type Placed', '', '{"events": []}'),
		(now(), 1, 0, 1, 'b', 'mass_reading', 'principal mallory', '', '{}'),
		(now(), 1, 0, 1, 'c', 'rate', 'principal mallory', '', '{"access": [1]}')`)
	conn := connectAs(t, url, analyst)
	require.Equal(t, []string{"a"}, list[string](t, conn, `SELECT id FROM analyst_anomalies`))
	execute(t, conn, `CREATE TEMPORARY TABLE seen (what text)`)
	execute(t, conn, `CREATE FUNCTION pg_temp.peek(what text) RETURNS boolean LANGUAGE plpgsql COST 0.0000001
		AS $$ BEGIN INSERT INTO seen VALUES (what); RETURN true; END $$`)
	require.Equal(t, []string{"a"}, list[string](t, conn, `SELECT id FROM analyst_anomalies WHERE pg_temp.peek(subject)`))
	require.Equal(t, []string{"type Placed"}, list[string](t, conn, `SELECT what FROM seen`))
}
