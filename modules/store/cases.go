package store

import (
	"cmp"
	"context"
	"encoding/binary"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
)

// cases holds events by case, as they are read: in any order, and in little memory.
type cases struct {
	numbers map[string]int // of the cases, by their keys
	keys    []string       // by case
	bytes   int            // of keys
	last    []int          // by case: its row that was read last
	rows    []caseRow

	types []string // each type's text once, however many events have it
	kinds map[string]int

	sorted []caseRow // scratch
	out    []CaseEvent
}

// caseRow is an event. Those of a case are a list.
type caseRow struct {
	at, id int64 // at is in microseconds since 2000, as PostgreSQL sends it
	before int32 // the row of the case that was read before it; -1 for none
	kind   int32 // its place in types
}

func newCases() *cases { return &cases{numbers: map[string]int{}, kinds: map[string]int{}} }

// binaryFormat is as PostgreSQL keeps values: text as its bytes, numbers in network byte order, a timestamptz as
// microseconds since 2000. Making text of times and reading it again would take longer than all else that is done here.
const binaryFormat = 1

// read adds the rows of a statement that gives caseColumns. A pooler MUST NOT change the server's connection meanwhile.
func (c *cases) read(ctx context.Context, conn *pgx.Conn, sql string, args []any) error {
	rows, err := conn.Query(ctx, sql, append([]any{pgx.QueryExecModeDescribeExec, pgx.QueryResultFormats{binaryFormat}}, args...)...)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		if len(c.rows) == MaxCaseEvents {
			return tooLong("there are more than %d events to follow: give a shorter time", MaxCaseEvents)
		}
		if err := c.add(rows.RawValues()); err != nil {
			return err
		}
	}
	return rows.Err()
}

// add adds a row.
func (c *cases) add(row [][]byte) error {
	kind, at, id, key := row[0], row[1], row[2], row[3]
	k, known := c.kinds[string(kind)]
	if !known {
		if len(c.types) == maxCaseTypes {
			return tooLong("there are more than %d event types to follow: give a shorter time", maxCaseTypes)
		}
		k = len(c.types)
		c.types = append(c.types, string(kind))
		c.kinds[c.types[k]] = k
	}
	n, known := c.numbers[string(key)]
	if !known {
		if c.bytes += len(key); c.bytes > maxCaseIDs {
			return tooLong("the ids of what is to be followed have more than %d MiB: give a shorter time", maxCaseIDs>>20)
		}
		n = len(c.keys)
		c.keys, c.last = append(c.keys, string(key)), append(c.last, -1)
		c.numbers[c.keys[n]] = n
	}
	c.rows = append(c.rows, caseRow{at: int64(binary.BigEndian.Uint64(at)), id: int64(binary.BigEndian.Uint64(id)), before: int32(c.last[n]), kind: int32(k)})
	c.last[n] = len(c.rows) - 1
	return nil
}

// name returns a workflow's correlation id, or the type and the id of its aggregate.
func (c *cases) name(n int) (flow, aggregateType, aggregateID string) {
	flow, isFlow := strings.CutPrefix(c.keys[n], "c")
	if isFlow {
		return flow, "", ""
	}
	length, both, _ := strings.Cut(c.keys[n][1:], ":")
	size, _ := strconv.Atoi(length) // it is PostgreSQL that has written it
	return "", both[:size], both[size:]
}

// events returns a case's events in their order. They are good until the next call.
func (c *cases) events(n int) []CaseEvent {
	c.sorted, c.out = c.sorted[:0], c.out[:0]
	for i := c.last[n]; i >= 0; i = int(c.rows[i].before) {
		c.sorted = append(c.sorted, c.rows[i])
	}
	slices.SortFunc(c.sorted, func(a, b caseRow) int { return cmp.Or(cmp.Compare(a.at, b.at), cmp.Compare(a.id, b.id)) })
	for _, row := range c.sorted {
		c.out = append(c.out, CaseEvent{Type: c.types[row.kind], At: time.UnixMicro(row.at + postgresEpoch).UTC()})
	}
	return c.out
}

// open returns the cases that are, in the order of the indexes that find them.
func (c *cases) open(is func([]CaseEvent) bool) (all []int) {
	for n := range c.keys {
		if is(c.events(n)) {
			all = append(all, n)
		}
	}
	slices.SortFunc(all, func(a, b int) int { return strings.Compare(c.keys[a], c.keys[b]) })
	return all
}
