package verify_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"audittrail/modules/verify"
)

// TestARowThatCantBeReadTakesNoNames: rows and keys of its own batch can't be compared, those of all others are.
func TestARowThatCantBeReadTakesNoNames(t *testing.T) {
	for name, sql := range map[string][]string{
		"a row":                    {fmt.Sprintf(unspellable, id(40))},
		"a column of another type": {`ALTER TABLE events ALTER kafka_partition TYPE bigint`, fmt.Sprintf(`UPDATE events SET kafka_partition = 1::bigint << 40 WHERE event_id = '%s'`, id(40))},
	} {
		t.Run(name, func(t *testing.T) {
			h := standard(t)
			h.tamper(t, sql...)
			h.tamper(t, remove(517), remove(645), rename(217, freshID))
			report := h.verify(t)
			require.Equal(t, id(40), found(report, verify.EventUnreadable)[0].EventID)
			comparedBut(t, report, verify.EventUnreadable, "a row among these can't be read", 0, 100)
			names(t, report, verify.EventRemoved, 517)
			names(t, report, verify.EventRemoved, 645)
			names(t, report, verify.EventAltered, 217, "eventId", "content")
			require.EqualValues(t, 2, report.Counts[verify.EventRemoved], show(report))
			require.Zero(t, report.Counts[verify.KeyAltered]+report.Counts[verify.KeyWithoutEvent]+report.Counts[verify.KeyMissing], show(report))
			if name == "a row" {
				return // reading it takes PostgreSQL seconds
			}

			h.tamper(t, fmt.Sprintf(`UPDATE event_keys SET digest = '\x00' WHERE event_id IN ('%s', '%s')`, id(41), id(617)))
			report = h.verify(t)
			names(t, report, verify.KeyAltered, 617, "digest")
			require.EqualValues(t, 1, report.Counts[verify.KeyAltered], show(report))
			comparedBut(t, report, verify.EventUnreadable, "a row among these can't be read", 0, 100)
		})
	}
}

// TestRowsThatCantBeReadByTheirBatch: what no page of a partition holds, events have all the same.
func TestRowsThatCantBeReadByTheirBatch(t *testing.T) {
	h := standard(t)
	h.tamper(t, `CREATE TABLE rest PARTITION OF events DEFAULT`)
	h.tamper(t, `ALTER TABLE events DROP CONSTRAINT events_pkey`, `ALTER TABLE events ALTER timestamp DROP NOT NULL`, `ALTER TABLE events ALTER kafka_partition TYPE bigint`,
		fmt.Sprintf(`UPDATE events SET timestamp = NULL, kafka_partition = 1::bigint << 40 WHERE event_id = '%s'`, id(40)), remove(517))
	report := h.verify(t)
	comparedBut(t, report, verify.EventUnreadable, "these rows can't be read by their batch", 0, 100)
	names(t, report, verify.EventRemoved, 517)
	require.Zero(t, report.Counts[verify.KeyAltered]+report.Counts[verify.KeyWithoutEvent]+report.Counts[verify.KeyMissing], show(report))
}

// TestARowThatWasComparedWithNothing: its key is not accused.
func TestARowThatWasComparedWithNothing(t *testing.T) {
	for name, sql := range map[string]string{
		"with its key":     `UPDATE events SET timestamp = NULL WHERE event_id = '%s'`,
		"with no key":      `UPDATE events SET timestamp = NULL, event_id = gen_random_uuid() WHERE event_id = '%s'`,
		"behind its batch": `UPDATE events SET timestamp = NULL, id = id + 4000 WHERE event_id = '%s'`,
	} {
		t.Run(name, func(t *testing.T) {
			h := standard(t)
			h.tamper(t, `CREATE TABLE rest PARTITION OF events DEFAULT`, `ALTER TABLE events DROP CONSTRAINT events_pkey`, `ALTER TABLE events ALTER timestamp DROP NOT NULL`, fmt.Sprintf(sql, id(217)))
			report := h.verify(t)
			require.EqualValues(t, 1, report.Counts[verify.SchemaAltered], show(report))
			removed := found(report, verify.EventRemoved)
			require.Len(t, removed, 1, show(report))
			require.EqualValues(t, 217, *removed[0].Position)
			require.Contains(t, removed[0].Detail, "or among those that could not be looked at")
			require.Zero(t, report.Counts[verify.KeyAltered]+report.Counts[verify.KeyWithoutEvent]+report.Counts[verify.KeyMissing], show(report))
		})
	}
}

// TestAKeyThatCantBeReadTakesNoNames likewise.
func TestAKeyThatCantBeReadTakesNoNames(t *testing.T) {
	h := standard(t)
	h.needSurgery(t)
	h.tamper(t, fmt.Sprintf(`UPDATE event_keys SET digest = (SELECT string_agg(sha256(i::text::bytea), '') FROM generate_series(1, 1000) AS i) WHERE event_id = '%s'`, id(40)),
		killToast("event_keys"), remove(517), rename(217, freshID), fmt.Sprintf(`UPDATE events SET version = 9 WHERE event_id = '%s'`, id(40)))
	report := h.verify(t)
	require.Equal(t, id(40), found(report, verify.KeyAltered)[0].EventID, show(report))
	comparedBut(t, report, verify.KeyAltered, "the keys of these events can't be read", 0, 100)
	names(t, report, verify.EventRemoved, 517)
	names(t, report, verify.EventAltered, 217, "eventId", "content")
	names(t, report, verify.EventAltered, 40)
	require.EqualValues(t, 2, report.Counts[verify.KeyAltered], show(report))
	require.Zero(t, report.Counts[verify.KeyWithoutEvent]+report.Counts[verify.KeyMissing], show(report))
}

// comparedBut says whether the report tells of these positions, and of no others, that events and keys were not
// compared, and why.
func comparedBut(t *testing.T, report *verify.Report, kind verify.Kind, why string, first, end int64) {
	t.Helper()
	require.NotContains(t, show(report), "too many differ")
	list := slices.DeleteFunc(found(report, kind), func(f verify.Finding) bool { return !strings.Contains(f.Detail, "not compared") })
	require.Len(t, list, 1, show(report))
	require.Contains(t, list[0].Detail, why)
	require.Equal(t, []int64{first, end}, []int64{*list[0].Position, *list[0].End})
}
