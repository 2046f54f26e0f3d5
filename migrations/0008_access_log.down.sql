BEGIN;
SET LOCAL search_path = public, pg_temp;
REVOKE EXECUTE ON FUNCTION ensure_partition(text, date) FROM audittrail_api;
DROP TABLE access_log;
CREATE OR REPLACE FUNCTION ensure_partition(parent text, month date) RETURNS text
    LANGUAGE plpgsql
    SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
    SET timezone = 'UTC'
AS $$
DECLARE
    months_since timestamptz := (SELECT date_trunc('year', installed_at) FROM public.installation);
    lower        timestamptz;
    upper        timestamptz;
    child        text;
BEGIN
    IF parent IS NULL OR parent <> ALL (ARRAY['events']) THEN
        RAISE EXCEPTION 'ensure_partition: parent is not a partitioned table of the event store'
            USING ERRCODE = 'invalid_parameter_value';
    END IF;
    IF month IS NULL OR NOT isfinite(month) THEN
        RAISE EXCEPTION 'ensure_partition: month is not a date' USING ERRCODE = 'invalid_parameter_value';
    END IF;

    IF month < DATE '2000-01-01' THEN
        child := parent || '_before_2000';
        lower := '-infinity';
        upper := '2000-01-01';
    ELSIF month < months_since THEN
        lower := date_trunc('year', month::timestamptz);
        upper := lower + interval '1 year';
        child := parent || '_' || to_char(lower, 'YYYY');
    ELSE
        lower := date_trunc('month', month::timestamptz);
        upper := lower + interval '1 month';
        child := parent || '_' || to_char(lower, 'YYYYMM');
    END IF;

    -- An attached child is the answer: an archived, detached one of that name is not. The child is found
    -- in the tables and not by to_regclass, whose cache is not renewed by waiting for an advisory lock.
    IF EXISTS (SELECT FROM pg_inherits AS i JOIN pg_class AS c ON c.oid = i.inhrelid
               WHERE c.relname = child AND c.relnamespace = 'public'::regnamespace
                 AND i.inhparent = ('public.' || parent)::regclass) THEN
        RETURN child;
    END IF;
    PERFORM pg_advisory_xact_lock(hashtextextended('audittrail.ensure_partition.' || parent, 0));
    IF EXISTS (SELECT FROM pg_inherits AS i JOIN pg_class AS c ON c.oid = i.inhrelid
               WHERE c.relname = child AND c.relnamespace = 'public'::regnamespace
                 AND i.inhparent = ('public.' || parent)::regclass) THEN
        RETURN child;
    END IF;

    EXECUTE format('CREATE TABLE public.%I (LIKE public.%I INCLUDING ALL)', child, parent);
    EXECUTE format('CREATE TRIGGER refuse_truncate BEFORE TRUNCATE ON public.%I
                    FOR EACH STATEMENT EXECUTE FUNCTION public.refuse_change()', child);
    EXECUTE format('ALTER TABLE public.%I ENABLE ALWAYS TRIGGER refuse_truncate', child);
    EXECUTE format('ALTER TABLE public.%I ATTACH PARTITION public.%I FOR VALUES FROM (%L) TO (%L)',
                   parent, child, lower, upper);
    -- For verify, which must see what a partition's pages hold, whatever its indexes and bounds say.
    EXECUTE format('GRANT SELECT ON public.%I TO audittrail_maintain', child);
    RETURN child;
END
$$;
COMMIT;
