package verify_test

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"audittrail/modules/verify"
)

// TestEditedSalt: where the leaf is what was signed, the event is not.
func TestEditedSalt(t *testing.T) {
	h := standard(t)
	h.tamper(t, fmt.Sprintf(`UPDATE events SET salt = substring(sha256(salt) FOR 16) WHERE event_id = '%s'`, id(217)))
	report := h.verify(t)
	names(t, report, verify.EventAltered, 217, "salt")
	require.Zero(t, report.Counts[verify.LogAltered], show(report))
}

// TestEditedKafkaCoordinates: they are found among the offsets that the batch was made of. Where these were
// not all tried, nothing else is blamed.
func TestEditedKafkaCoordinates(t *testing.T) {
	const edited = `UPDATE events SET kafka_offset = 5 WHERE event_id = '%s'`
	t.Run("found", func(t *testing.T) {
		h := standard(t)
		h.tamper(t, fmt.Sprintf(edited, id(217)))
		report := h.verify(t)
		names(t, report, verify.EventAltered, 217, "kafka")
		require.Contains(t, found(report, verify.EventAltered)[0].Detail, "it was orders/0 offset 217")
	})
	t.Run("not known", func(t *testing.T) {
		h := standard(t)
		h.tamper(t, fmt.Sprintf(edited, id(217)), `DELETE FROM ingest_ranges WHERE batch = 2`)
		report := h.verify(t)
		names(t, report, verify.EventAltered, 217)
		require.Contains(t, found(report, verify.EventAltered)[0].Detail, "not all that it may have had were tried")
	})
	t.Run("too many", func(t *testing.T) {
		h := newHistory(t)
		const absent = 30_000
		h.next = absent
		b := h.batch(t, 100)
		b.Ranges[0].From, b.Ranges[0].Absent = 0, absent
		_, err := h.append.Append(t.Context(), b)
		require.NoError(t, err)
		h.sign(t)
		require.True(t, h.verify(t).Intact)
		h.tamper(t, fmt.Sprintf(edited, id(absent+50)))
		altered := found(h.verify(t), verify.EventAltered)
		require.Len(t, altered, 1)
		require.Equal(t, id(absent+50), altered[0].EventID)
		require.Empty(t, altered[0].Fields)
		require.Contains(t, altered[0].Detail, "not all that it may have had were tried")
	})
}
