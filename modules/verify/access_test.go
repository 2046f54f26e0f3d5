package verify_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"audittrail/modules/ledger"
	"audittrail/modules/migrate/migratetest"
	"audittrail/modules/store"
	"audittrail/modules/verify"
)

// withAccess is a history whose access log has three batches of three entries, the last of which waits for its
// positions.
func withAccess(t *testing.T) *history {
	t.Helper()
	h := standard(t)
	h.accesses(t, 3, 3, 2)
	h.signLog(t, ledger.Access, h.key)
	return h
}

// accesses appends batches of entries to the access log, so many of which get their positions.
func (h *history) accesses(t *testing.T, batches, each, numbered int) {
	t.Helper()
	api := open(t, migratetest.AsRole(t, h.url, "audittrail_api"))
	log := store.NewAccessLog(api)
	for batch := range batches {
		var entries []store.AccessEntry
		for n := range each {
			at := time.Now().UTC().Truncate(time.Microsecond)
			entries = append(entries, store.AccessEntry{Time: at, Canonical: fmt.Appendf(nil,
				`{"principal":"p-%d","salt":"%d-%d","time":"%s"}`, n, batch, n, at.Format("2006-01-02T15:04:05.000000Z"))})
		}
		require.NoError(t, log.Append(t.Context(), entries))
		if batch < numbered {
			_, err := store.NumberPending(t.Context(), api)
			require.NoError(t, err)
		}
	}
}

func TestTamperedAccessLogs(t *testing.T) {
	t.Parallel()
	require.True(t, withAccess(t).verify(t).Intact)
	for name, c := range map[string]struct {
		statement string
		kind      verify.Kind
		position  int64 // -1 for none
	}{
		"altered":                {`UPDATE access_log SET entry = jsonb_set(entry, '{principal}', '"other"') WHERE id = (2 << 14) + 1`, verify.EventAltered, 4},
		"altered while it waits": {`UPDATE access_log SET entry = entry - 'principal' WHERE id = 3 << 14`, verify.EventAltered, -1},
		"removed":                {`DELETE FROM access_log WHERE id = (1 << 14) + 2`, verify.EventRemoved, 2},
		"inserted":               {`INSERT INTO access_log SELECT (1 << 14) + 7, time, entry FROM access_log WHERE id = 1 << 14`, verify.EventInserted, -1},
		"of no batch":            {`INSERT INTO access_log SELECT 77 << 14, time, entry FROM access_log WHERE id = 1 << 14`, verify.EventInserted, -1},
		"at another time":        {`UPDATE access_log SET time = time + interval '1 second' WHERE id = 1 << 14`, verify.EventAltered, 0},
		"twice":                  {`INSERT INTO access_log SELECT id, time + interval '1 second', entry FROM access_log WHERE id = 1 << 14`, verify.EventInserted, 0},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := withAccess(t)
			h.tamper(t, c.statement)
			report := h.verify(t)
			require.False(t, report.Intact)
			list := found(report, c.kind)
			require.NotEmpty(t, list, show(report))
			require.Equal(t, ledger.Access, list[0].Log)
			if c.position >= 0 {
				require.Equal(t, c.position, *list[0].Position, show(report))
			} else {
				require.Nil(t, list[0].Position, show(report))
			}
		})
	}
}
