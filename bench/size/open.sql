-- What ingesting each stretch of the store took.
CREATE TABLE IF NOT EXISTS bench_fill (
    before bigint PRIMARY KEY, events int, seconds float8, own float8, server float8, wal bigint, images bigint
);
-- What its notary signs with.
CREATE TABLE IF NOT EXISTS bench_key (key text NOT NULL);
CREATE EXTENSION IF NOT EXISTS pg_stat_statements;

-- installed_at makes an empty store one that was installed then: its partitions are by month from that year on. It does
-- nothing to one that was.
CREATE FUNCTION pg_temp.installed_at(then_at timestamptz) RETURNS void LANGUAGE plpgsql SET timezone = 'UTC' AS $$
DECLARE
    year int;
BEGIN
    IF EXISTS (SELECT FROM installation WHERE installed_at <= then_at) THEN
        RETURN;
    END IF;
    ALTER TABLE installation DISABLE TRIGGER refuse_change;
    UPDATE installation SET installed_at = then_at;
    ALTER TABLE installation ENABLE ALWAYS TRIGGER refuse_change;
    FOR year IN SELECT generate_series(extract(year FROM then_at)::int, extract(year FROM now())::int) LOOP
        EXECUTE format('DROP TABLE IF EXISTS events_%s', year);
    END LOOP;
    PERFORM ensure_partition('events', m::date) FROM generate_series(date_trunc('year', then_at), now(), '1 month') AS m;
END
$$;
