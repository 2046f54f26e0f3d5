package verify_test

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"audittrail/modules/verify"
)

const freshID = "ffffffff-0000-4000-8000-000000000000"

// rename gives an event another id and another content, so that no guess at what it was gives its leaf.
func rename(n int64, to string) string {
	return fmt.Sprintf(`UPDATE events SET event_id = '%s', version = 9 WHERE event_id = '%s'`, to, id(n))
}

func remove(n int64) string { return fmt.Sprintf(`DELETE FROM events WHERE event_id = '%s'`, id(n)) }

// TestAnEventUnderAFreshID: it is named by what it was where nothing else can be meant, and nothing is said
// of which that is not known.
func TestAnEventUnderAFreshID(t *testing.T) {
	t.Run("alone", func(t *testing.T) {
		h := standard(t)
		h.tamper(t, rename(217, freshID))
		report := h.verify(t)
		names(t, report, verify.EventAltered, 217, "eventId", "content")
		require.Contains(t, found(report, verify.EventAltered)[0].Detail, "its event id was changed to "+freshID+", which event_keys does not know")
		require.EqualValues(t, 1, report.Counts[verify.EventAltered], show(report))
		require.Zero(t, report.Counts[verify.KeyWithoutEvent]+report.Counts[verify.EventRemoved], show(report))
	})
	t.Run("with another one that was removed", func(t *testing.T) {
		h := standard(t)
		h.tamper(t, rename(217, freshID), remove(230))
		report := h.verify(t)
		unnamed(t, report, 230)
		hedged(t, report, 217, 230)
		altered := found(report, verify.EventAltered)
		require.Len(t, altered, 1, show(report))
		require.Equal(t, freshID, altered[0].EventID)
		require.EqualValues(t, 217, *altered[0].Position)
	})
	t.Run("with another one that was removed with its key", func(t *testing.T) {
		h := standard(t)
		h.tamper(t, rename(217, freshID), remove(230), fmt.Sprintf(`DELETE FROM event_keys WHERE event_id = '%s'`, id(230)))
		report := h.verify(t)
		unnamed(t, report, 230)
		hedged(t, report, 217)
	})
	t.Run("with another one whose key was deleted", func(t *testing.T) {
		for _, other := range []int64{210, 220} { // looked at before and after it
			h := standard(t)
			h.tamper(t, rename(217, freshID), fmt.Sprintf(`UPDATE events SET version = 9 WHERE event_id = '%s'`, id(other)),
				fmt.Sprintf(`DELETE FROM event_keys WHERE event_id = '%s'`, id(other)))
			report := h.verify(t)
			hedged(t, report, 217)
			names(t, report, verify.EventAltered, other, "eventId")
		}
	})
	t.Run("beside an added key", func(t *testing.T) {
		h := standard(t)
		h.tamper(t, remove(217), fmt.Sprintf(`INSERT INTO event_keys SELECT '%s', batch, timestamp, digest FROM event_keys WHERE event_id = '%s'`, freshID, id(217)))
		report := h.verify(t)
		unnamed(t, report, 217)
		require.EqualValues(t, 2, report.Counts[verify.KeyWithoutEvent], show(report))
	})
	t.Run("of another batch than one that was removed", func(t *testing.T) {
		h := standard(t)
		h.tamper(t, rename(217, freshID), remove(330))
		report := h.verify(t)
		names(t, report, verify.EventAltered, 217, "eventId", "content")
		names(t, report, verify.EventRemoved, 330)
		require.Zero(t, report.Counts[verify.KeyWithoutEvent], show(report))
	})
}

// unnamed says whether one event is missing at a position, and is not called by an id.
func unnamed(t *testing.T, report *verify.Report, position int64) {
	t.Helper()
	removed := found(report, verify.EventRemoved)
	require.Len(t, removed, 1, show(report))
	require.Empty(t, removed[0].EventID)
	require.Equal(t, position, *removed[0].Position)
	require.NotContains(t, removed[0].Detail, "key")
}

// hedged says whether there is a finding of the key of each of these events, and of no others, and that it may have
// been removed or renamed.
func hedged(t *testing.T, report *verify.Report, events ...int64) {
	t.Helper()
	keys := found(report, verify.KeyWithoutEvent)
	require.Len(t, keys, len(events), show(report))
	for i, n := range events {
		require.Equal(t, id(n), keys[i].EventID)
		require.Contains(t, keys[i].Detail, "it was removed, or its event id was changed")
	}
}

// TestSwappedIDsOfAlteredEvents: the leaf of one tells which it was, and so that the other one is not that.
func TestSwappedIDsOfAlteredEvents(t *testing.T) {
	h := standard(t)
	h.tamper(t, exchangeIDs(110, 215), fmt.Sprintf(`UPDATE events SET version = 9 WHERE event_id = '%s'`, id(215))) // which was 110
	report := h.verify(t)
	names(t, report, verify.EventAltered, 215, "eventId")
	require.EqualValues(t, 2, report.Counts[verify.EventAltered], show(report))
	other := found(report, verify.EventAltered)[1]
	require.EqualValues(t, 110, *other.Position)
	require.Equal(t, []string{"eventId"}, other.Fields)
	require.Contains(t, other.Detail, "its event id was changed to that of another event")
}

func exchangeIDs(a, b int64) string {
	return fmt.Sprintf(`UPDATE events SET event_id = CASE WHEN event_id = '%s' THEN '%s'::uuid ELSE '%[1]s'::uuid END WHERE event_id IN ('%[1]s', '%[2]s')`, id(a), id(b))
}
