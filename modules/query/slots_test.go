package query

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestFeedsOfOneCallerLeaveAQuarterForOthers(t *testing.T) {
	s := newFeedSlots(4)
	for range 3 {
		_, err := s.Take("ann")
		require.NoError(t, err)
	}
	_, err := s.Take("ann")
	require.ErrorIs(t, err, errOwnFeedsWait)
	_, err = s.Take("bob")
	require.NoError(t, err)
	_, err = s.Take("eve")
	require.ErrorIs(t, err, errFeedsWait)
}
