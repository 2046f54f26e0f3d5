package maintain_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"audittrail/modules/migrate/migratetest"
)

// Keys of dead letters are destroyed 90 days after the month's end, and no other key is.
func TestKeysOfOldDeadLettersAreDestroyed(t *testing.T) {
	t.Parallel()
	url := migratetest.Database(t)
	f := newFixture(t, url, func() time.Time { return time.Date(2026, 11, 30, 0, 0, 0, 0, time.UTC) })
	_, err := f.conn.Exec(t.Context(), `
		INSERT INTO wrapping_keys (id, wrapped) VALUES ('00000000-0000-0000-0000-000000000000', '\x00');
		INSERT INTO subject_keys (id, wrapped_by, subject, wrapped)
			SELECT ('00000000-0000-0000-0000-00000000000' || n)::uuid, '00000000-0000-0000-0000-000000000000', decode('0' || n, 'hex'), '\x01' FROM generate_series(1, 4) AS n;
		INSERT INTO letter_keys VALUES ('00000000-0000-0000-0000-000000000001', '2026-07-01'), ('00000000-0000-0000-0000-000000000002', '2026-08-01'),
			('00000000-0000-0000-0000-000000000003', '2026-09-01')`)
	require.NoError(t, err)
	_, err = f.conn.Exec(t.Context(), `LISTEN audittrail_shredded`)
	require.NoError(t, err)
	defer f.start(t)()
	_, err = f.conn.WaitForNotification(t.Context())
	require.NoError(t, err)
	var left []string
	require.NoError(t, f.conn.QueryRow(t.Context(), `SELECT array_agg(right(id::text, 1) ORDER BY id) FROM subject_keys WHERE wrapped IS NOT NULL`).Scan(&left))
	require.Equal(t, []string{"3", "4"}, left) // August was over 90 days before
}
