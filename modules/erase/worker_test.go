package erase_test

import (
	"fmt"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"audittrail/modules/store"
)

func TestManyThatWaitForTheirSweepDelayNoErasure(t *testing.T) {
	t.Parallel()
	s := newSystem(t, false)
	shreds, service := store.NewShreds(s.pool(s.url, "audittrail_maintain")), s.service(filepath.Join(t.TempDir(), "journal"))
	for person := range 3 {
		shred, err := shreds.Get(t.Context(), s.request(fmt.Sprintf("p-%d", person)))
		require.NoError(t, err)
		require.NoError(t, service.Advance(t.Context(), shred))
	}
	last := s.request("p-9")
	open, err := shreds.Open(t.Context(), 2)
	require.NoError(t, err)
	require.Len(t, open, 3)
	require.Equal(t, last, open[0].ID)
}
