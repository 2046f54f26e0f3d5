package store

import (
	"context"
	"maps"
	"sync"

	"github.com/jackc/pgx/v5"
)

// Accounting counts what became of the offsets of one partition. The four counts add up to NextOffset - FirstOffset.
type Accounting struct {
	Partition
	FirstOffset, NextOffset                  int64
	Stored, Duplicates, DeadLettered, Absent int64
}

// totals are the sums over a partition's ranges up to an offset.
type totals struct{ upTo, stored, duplicates, deadLettered, absent int64 }

// totalsCache remembers sums, so that an answer reads only newer ranges. Ranges never change. The cache has 80 bytes
// per partition.
type totalsCache struct {
	mu   sync.Mutex
	sums map[Partition]totals
}

// rangesAtOnce bounds how many ranges of a partition one statement sums.
const rangesAtOnce = 100_000

// By the primary keys of both tables. $1 to $3 are the partitions with what is summed already; $4 is
// rangesAtOnce.
const accountingSQL = `
	SELECT o.topic_id, o.topic, o.partition, o.first_offset, o.next_offset,
	       s.stored, s.duplicates, s.dead_lettered, s.absent, s.up_to, s.ranges
	FROM ingest_offsets AS o
	LEFT JOIN unnest($1::uuid[], $2::integer[], $3::bigint[]) AS seen (topic_id, partition, up_to)
	       USING (topic_id, partition)
	CROSS JOIN LATERAL (
		SELECT coalesce(sum(stored), 0)::bigint AS stored, coalesce(sum(duplicates), 0)::bigint AS duplicates,
		       coalesce(sum(dead_lettered), 0)::bigint AS dead_lettered, coalesce(sum(absent), 0)::bigint AS absent,
		       max(to_offset) AS up_to, count(*) AS ranges
		FROM (SELECT * FROM ingest_ranges AS r
		      WHERE r.topic_id = o.topic_id AND r.partition = o.partition
		        AND r.from_offset >= coalesce(seen.up_to, o.first_offset)
		      ORDER BY r.from_offset LIMIT $4) AS part) AS s
	ORDER BY o.topic, o.partition, o.topic_id`

// Offsets returns the accounting of every partition, by topic and partition. All counts and offsets are of the same
// moment.
func (r *Reader) Offsets(ctx context.Context) ([]Accounting, error) {
	var list []Accounting
	err := r.read(ctx, "read offsets", func(ctx context.Context, conn *pgx.Conn) (err error) {
		remembered := r.totals.get()
		if list, err = r.account(ctx, conn, remembered); err != nil || balanced(list) {
			return err
		}
		// The database was restored to an earlier state, so the remembered sums are wrong.
		list, err = r.account(ctx, conn, map[Partition]totals{})
		return err
	})
	return list, err
}

// account sums until nothing is left, and remembers how far it has come.
func (r *Reader) account(ctx context.Context, conn *pgx.Conn, sums map[Partition]totals) ([]Accounting, error) {
	for {
		list, complete, err := addUp(ctx, conn, sums)
		if err != nil {
			return nil, err
		}
		r.totals.put(maps.Clone(sums))
		if complete {
			return list, nil
		}
	}
}

func balanced(list []Accounting) bool {
	for _, a := range list {
		if a.Stored+a.Duplicates+a.DeadLettered+a.Absent != a.NextOffset-a.FirstOffset {
			return false
		}
	}
	return true
}

// addUp adds newer ranges to known and returns the accounting; complete is false if one statement could not sum all.
func addUp(ctx context.Context, conn *pgx.Conn, known map[Partition]totals) (list []Accounting, complete bool, err error) {
	var (
		ids     [][16]byte
		numbers []int32
		upTo    []int64
	)
	for p, t := range known {
		ids, numbers, upTo = append(ids, p.TopicID), append(numbers, p.Number), append(upTo, t.upTo)
	}
	rows, err := conn.Query(ctx, accountingSQL, ids, numbers, upTo, rangesAtOnce)
	if err != nil {
		return nil, false, err
	}
	defer rows.Close()
	list, complete = []Accounting{}, true
	for rows.Next() {
		var (
			a      Accounting
			id     [16]byte
			add    totals
			last   *int64
			ranges int64
		)
		if err := rows.Scan(&id, &a.Topic, &a.Number, &a.FirstOffset, &a.NextOffset,
			&add.stored, &add.duplicates, &add.deadLettered, &add.absent, &last, &ranges); err != nil {
			return nil, false, err
		}
		a.TopicID = id
		sum := known[a.Partition]
		if last != nil {
			sum = totals{*last, sum.stored + add.stored, sum.duplicates + add.duplicates,
				sum.deadLettered + add.deadLettered, sum.absent + add.absent}
			known[a.Partition] = sum
		}
		complete = complete && ranges < rangesAtOnce
		a.Stored, a.Duplicates, a.DeadLettered, a.Absent = sum.stored, sum.duplicates, sum.deadLettered, sum.absent
		list = append(list, a)
	}
	rows.Close()
	return list, complete, rows.Err()
}

func (c *totalsCache) get() map[Partition]totals {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.sums == nil {
		return map[Partition]totals{}
	}
	return maps.Clone(c.sums)
}

func (c *totalsCache) put(sums map[Partition]totals) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.sums = sums
}
