package query

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestFeedSlotsOfOneCallerLeaveRoomForOthers(t *testing.T) {
	s := newFeedSlots(4)
	var ann []func()
	for range 3 {
		giveBack, err := s.take("ann")
		require.NoError(t, err)
		ann = append(ann, giveBack)
	}
	_, err := s.take("ann")
	require.ErrorIs(t, err, errOwnFeedsWait)
	bob, err := s.take("bob")
	require.NoError(t, err)
	_, err = s.take("eve")
	require.ErrorIs(t, err, errFeedsWait)
	bob()
	_, err = s.take("ann")
	require.ErrorIs(t, err, errOwnFeedsWait, "what another gave back is not for the one who has most")
	ann[0]()
	_, err = s.take("ann")
	require.NoError(t, err)
	require.Equal(t, map[string]int{"ann": 3}, s.own)
}
