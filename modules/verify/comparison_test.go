package verify_test

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"audittrail/modules/verify"
	"audittrail/platform/longtest"
)

// TestARowThatCantBeReadTakesNoNames: others of its batch, of its pages and of all others are named.
func TestARowThatCantBeReadTakesNoNames(t *testing.T) {
	t.Parallel()
	for name, sql := range map[string][]string{
		"a row":                    {fmt.Sprintf(unspellable, id(40))},
		"a column of another type": {`ALTER TABLE events ALTER kafka_partition TYPE bigint`, fmt.Sprintf(`UPDATE events SET kafka_partition = 1::bigint << 40 WHERE event_id = '%s'`, id(40))},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if name == "a row" {
				longtest.Only(t, "it has PostgreSQL write out a value of a gigabyte")
			}
			h := standard(t)
			h.tamper(t, sql...)
			h.tamper(t, remove(45), remove(517), remove(645), rename(217, freshID), fmt.Sprintf(`UPDATE event_keys SET digest = '\x00' WHERE event_id IN ('%s', '%s')`, id(41), id(617)))
			report := h.verify(t)
			names(t, report, verify.EventUnreadable, 40)
			names(t, report, verify.EventRemoved, 45)
			names(t, report, verify.EventRemoved, 517)
			names(t, report, verify.EventRemoved, 645)
			namesAs(t, report, verify.EventAltered, freshID, 217)
			names(t, report, verify.KeyAltered, 41)
			names(t, report, verify.KeyAltered, 617)
			require.EqualValues(t, 3, report.Counts[verify.EventRemoved], show(report))
			require.EqualValues(t, 2, report.Counts[verify.KeyAltered], show(report))
			require.EqualValues(t, 1, report.Counts[verify.KeyWithoutEvent], show(report))
			require.Equal(t, id(217), found(report, verify.KeyWithoutEvent)[0].EventID)
			require.Zero(t, report.Counts[verify.KeyMissing], show(report))
		})
	}
}

// TestARowInATableThatIsNotRead: its position is named, and its key is not accused.
func TestARowInATableThatIsNotRead(t *testing.T) {
	t.Parallel()
	report := tampered(t, `CREATE TABLE rest PARTITION OF events DEFAULT`, `ALTER TABLE events DROP CONSTRAINT events_pkey`, `ALTER TABLE events ALTER timestamp DROP NOT NULL`,
		fmt.Sprintf(`UPDATE events SET timestamp = NULL WHERE event_id = '%s'`, id(217)))
	require.EqualValues(t, 1, report.Counts[verify.SchemaAltered], show(report))
	names(t, report, verify.EventRemoved, 217)
	require.Contains(t, found(report, verify.EventRemoved)[0].Detail, "or is among those that could not be examined")
	require.Zero(t, report.Counts[verify.KeyAltered]+report.Counts[verify.KeyWithoutEvent]+report.Counts[verify.KeyMissing], show(report))
}

// TestAKeyThatCantBeReadTakesNoNames likewise.
func TestAKeyThatCantBeReadTakesNoNames(t *testing.T) {
	t.Parallel()
	h := standard(t)
	h.needSurgery(t)
	h.tamper(t, fmt.Sprintf(`UPDATE event_keys SET digest = (SELECT string_agg(sha256(i::text::bytea), '') FROM generate_series(1, 1000) AS i) WHERE event_id = '%s'`, id(40)),
		killToast("event_keys"), remove(517), rename(217, freshID), fmt.Sprintf(`UPDATE events SET version = 9 WHERE event_id = '%s'`, id(40)))
	report := h.verify(t)
	require.Equal(t, id(40), found(report, verify.KeyAltered)[0].EventID, show(report))
	names(t, report, verify.EventRemoved, 517)
	namesAs(t, report, verify.EventAltered, freshID, 217)
	names(t, report, verify.EventAltered, 40)
	require.EqualValues(t, 1, report.Counts[verify.KeyAltered], show(report))
	require.EqualValues(t, 1, report.Counts[verify.KeyWithoutEvent], show(report))
	require.Zero(t, report.Counts[verify.KeyMissing], show(report))
}
