-- Bytes of each table with its TOAST, and of each index, those of partitions with their parents'. Those by causation
-- id have no parent, and are together too. The largest first.
WITH RECURSIVE root AS (
    SELECT oid, oid AS top FROM pg_class
    WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'p', 'i', 'I') AND NOT relispartition AND relname NOT LIKE 'bench%'
    UNION ALL
    SELECT i.inhrelid, r.top FROM root AS r JOIN pg_inherits AS i ON i.inhparent = r.oid
)
SELECT regexp_replace(c.relname::text, '^events_\d+_causation_idx$', 'events_*_causation_idx'), sum(CASE WHEN c.relkind IN ('r', 'p') THEN pg_table_size(r.oid) ELSE pg_relation_size(r.oid) END)::bigint AS bytes
FROM root AS r JOIN pg_class AS c ON c.oid = r.top
GROUP BY 1 HAVING sum(pg_table_size(r.oid)) > 0 ORDER BY 2 DESC
