package store

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"audittrail/modules/event"
)

// What is read of single rows once it is known that something is wrong with them.

// By events' primary key, in the one partition that the timestamp's literal names.
const suspectSQL = `SELECT ` + verifyColumns + ` FROM public.events, ` + verifyDocuments + ` WHERE timestamp = '%s' AND id = $1::bigint`

// Suspect reads one row of events as it stands; ok is false where it is no event.
func (v *View) Suspect(ctx context.Context, timestamp time.Time, id int64) (e event.Stored, ok bool, err error) {
	err = v.each(ctx, "read event", func(rows pgx.Rows) error {
		r, err := scanAnyRow(rows)
		if err != nil && !errors.Is(err, errCorrupt) {
			return err
		}
		e, ok = r.stored, err == nil
		return nil
	}, fmt.Sprintf(suspectSQL, event.FormatTime(timestamp)), id)
	return e, ok, err
}

const eventsOfSQL = `SELECT ` + verifyColumns + ` FROM public.events, ` + verifyDocuments + ` WHERE id BETWEEN $1::bigint AND $2::bigint`

// RowsOf reads the rows of the batches from low to high, with high, and hashes them: by the index of ids
// (BRIN). Both MUST be such as a batch has.
func (v *View) RowsOf(ctx context.Context, low, high int64, read func(*EventRow) error) error {
	return v.rows(ctx, "read events of batches", read, eventsOfSQL, low<<indexBits, high<<indexBits|indexMask)
}

// StoredRange is a range of Kafka's offsets of which a batch stored events.
type StoredRange struct {
	Topic     string
	Partition int32
	From, To  int64 // offsets, without To
}

// rangesMost is more ranges than a batch is made of.
const rangesMost = 1000

// RangesOf reads which offsets a batch was made of, by walking over all ranges.
func (v *View) RangesOf(ctx context.Context, batch int64) ([]StoredRange, error) {
	var ranges []StoredRange
	err := v.each(ctx, "read ranges", func(rows pgx.Rows) error {
		var r StoredRange
		if err := rows.Scan(&r.Topic, &r.Partition, &r.From, &r.To); err != nil {
			return err
		}
		ranges = append(ranges, r)
		return nil
	}, `SELECT coalesce(left(o.topic, 1000), ''), r.partition, r.from_offset, r.to_offset
		FROM public.ingest_ranges r LEFT JOIN public.ingest_offsets o USING (topic_id, partition)
		WHERE r.batch = $1::bigint AND r.stored > 0 AND r.partition IS NOT NULL AND r.from_offset IS NOT NULL AND r.to_offset IS NOT NULL
		LIMIT $2`, batch, rangesMost)
	return ranges, err
}

// Detached are tables that are named like partitions of events and are none (any more), 100 at most.
func (v *View) Detached(ctx context.Context) ([]string, error) {
	var names []string
	err := v.each(ctx, "read detached partitions", func(rows pgx.Rows) error {
		var name string
		err := rows.Scan(&name)
		names = append(names, name)
		return err
	}, `SELECT c.relname::text FROM pg_class c
		WHERE c.relnamespace = 'public'::regnamespace AND c.relkind = 'r' AND c.relname ~ '^events_(before_2000|\d{4}|\d{6})$'
		AND NOT EXISTS (SELECT FROM pg_inherits i WHERE i.inhrelid = c.oid) ORDER BY 1 LIMIT 100`)
	return names, err
}
