package verify_test

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"audittrail/modules/verify"
)

// changeLeaf changes the leaf hash of an event of the second batch.
func changeLeaf(n int64) string {
	return fmt.Sprintf(`UPDATE ledger_batches SET leaves = set_byte(leaves, 32 * %d, 255 - get_byte(leaves, 32 * %[1]d)) WHERE batch = 2`, n-100)
}

// TestEditedLeafBesideAnotherEvent: something else was altered in what the same checkpoint signed.
func TestEditedLeafBesideAnotherEvent(t *testing.T) {
	const event = `UPDATE events SET %s WHERE event_id = '%s'`
	for _, other := range []int64{110, 220} { // before and behind it
		t.Run(fmt.Sprintf("content of %d", other), func(t *testing.T) {
			h := standard(t)
			h.tamper(t, changeLeaf(217), fmt.Sprintf(event, "version = 7", id(other)))
			report := h.verify(t)
			names(t, report, verify.EventAltered, other, "content")
			names(t, report, verify.LeafAltered, 217)
			require.EqualValues(t, 1, report.Counts[verify.EventAltered], show(report))
		})
		t.Run(fmt.Sprintf("salt of %d", other), func(t *testing.T) {
			h := standard(t)
			h.tamper(t, changeLeaf(217), fmt.Sprintf(event, "salt = substring(sha256(salt) FOR 16)", id(other)))
			report := h.verify(t)
			for _, n := range []int64{217, other} {
				names(t, report, verify.EventAltered, n)
			}
			for _, f := range found(report, verify.EventAltered) {
				require.Contains(t, f.Detail, "its row or its leaf hash in ledger_batches was changed")
			}
			require.Zero(t, report.Counts[verify.LeafAltered], show(report))
		})
	}
	t.Run("and its key", func(t *testing.T) {
		h := standard(t)
		h.tamper(t, changeLeaf(217), fmt.Sprintf(`UPDATE event_keys SET digest = '\x00' WHERE event_id = '%s'`, id(217)))
		report := h.verify(t)
		names(t, report, verify.LeafAltered, 217)
		require.Zero(t, report.Counts[verify.EventAltered], show(report))
	})
}
