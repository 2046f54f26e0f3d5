package store_test

import (
	"testing"

	"audittrail/modules/store/audit"

	"github.com/stretchr/testify/require"
)

// compared reconciles with a Kafka whose partition 0 has the offsets [0, end).
func (s testStore) compared(t *testing.T, end int64) *audit.Reconciliation {
	t.Helper()
	r, err := audit.Reconcile(t.Context(), s.owner, nil)
	require.NoError(t, err)
	positions, err := s.Positions(t.Context())
	require.NoError(t, err)
	r.CompareKafka(positions, []audit.KafkaLog{{Partition: partition(0), End: end}})
	return r
}

// A log that was cut and has grown again stays a discrepancy until somebody admits it; then the partition is
// compared under the id by which it goes on.
func TestReconcileTellsOfACutUntilItIsAdmitted(t *testing.T) {
	t.Parallel()
	s := newStore(t)
	s.begin(t, 1)
	_, err := s.Append(t.Context(), one(t, 0, record(0, 0, id(1), 1), record(0, 1, id(2), 1), record(0, 2, id(3), 1)))
	require.NoError(t, err)
	require.Empty(t, s.compared(t, 5).Discrepancies)

	require.NoError(t, s.RememberCut(t.Context(), partition(0), 1))
	r := s.compared(t, 5)
	require.Len(t, r.Discrepancies, 1)
	require.Equal(t, "kafka_cut", r.Discrepancies[0].Check)

	_, err = s.admit(t, 1)
	require.NoError(t, err)
	r = s.compared(t, 5)
	require.Empty(t, r.Discrepancies)
	require.EqualValues(t, 4, r.ToRead, "the offsets from 1 on mean other records")
}
