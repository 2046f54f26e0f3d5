package verify_test

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"audittrail/modules/verify"
)

// TestAnEventThatTookAnothersID: the one that was altered is named, and the other one is not accused.
func TestAnEventThatTookAnothersID(t *testing.T) {
	for _, other := range []int64{5, 40, 216, 218, 400} { // before and behind it, in its batch and in others
		h := standard(t)
		h.tamper(t, fmt.Sprintf(`UPDATE events SET event_id = '%s', version = 7 WHERE event_id = '%s'`, id(other), id(217)))
		report := h.verify(t)
		names(t, report, verify.EventAltered, 217, "eventId", "content")
		require.Contains(t, show(report), "its event id was changed to "+id(other))
		require.EqualValues(t, 1, report.Counts[verify.EventAltered], show(report))
		require.Zero(t, report.Counts[verify.KeyAltered]+report.Counts[verify.KeyWithoutEvent]+report.Counts[verify.KeyMissing], show(report))
	}
	// Its id alone: the leaf tells.
	h := standard(t)
	h.tamper(t, fmt.Sprintf(`UPDATE events SET event_id = '%s' WHERE event_id = '%s'`, id(40), id(217)))
	report := h.verify(t)
	require.Len(t, found(report, verify.EventAltered), 1, show(report))
	altered := found(report, verify.EventAltered)[0]
	require.EqualValues(t, 217, *altered.Position)
	require.Equal(t, []string{"eventId"}, altered.Fields)
	require.Contains(t, altered.Detail, "it was "+id(217))
}

// TestAFloodOfRows: rows that were added anywhere do not hide the one that was altered.
func TestAFloodOfRows(t *testing.T) {
	h := standard(t)
	h.tamper(t, fmt.Sprintf(`INSERT INTO events (id, timestamp, created_at, kafka_offset, kafka_partition, version, event_id, event_type, aggregate_type, aggregate_id, kafka_topic, salt, payload, metadata)
		SELECT (999 << 14) + n, timestamp, created_at, kafka_offset, kafka_partition, version, gen_random_uuid(), event_type, aggregate_type, aggregate_id, kafka_topic, salt, payload, metadata
		FROM events, generate_series(1, 1200) AS n WHERE event_id = '%s'`, id(10)),
		fmt.Sprintf(`UPDATE events SET version = 7 WHERE event_id = '%s'`, id(217)))
	report := h.verify(t)
	names(t, report, verify.EventAltered, 217, "content")
	require.EqualValues(t, 1, report.Counts[verify.EventAltered])
	require.EqualValues(t, 1200, report.Counts[verify.EventInserted])
}
