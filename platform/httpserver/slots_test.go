package httpserver

import (
	"errors"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestSlotsOfOneCallerLeaveRoomForOthers(t *testing.T) {
	full, ownFull := errors.New("full"), errors.New("own full")
	s := &Slots{Most: 4, MostOwn: 3, Full: full, OwnFull: ownFull}
	var ann []func()
	for range 3 {
		giveBack, err := s.Take("ann")
		require.NoError(t, err)
		ann = append(ann, giveBack)
	}
	_, err := s.Take("ann")
	require.ErrorIs(t, err, ownFull)
	bob, err := s.Take("bob")
	require.NoError(t, err)
	_, err = s.Take("eve")
	require.ErrorIs(t, err, full)
	bob()
	_, err = s.Take("ann")
	require.ErrorIs(t, err, ownFull, "what another gave back is not for the one who has most")
	ann[0]()
	_, err = s.Take("ann")
	require.NoError(t, err)
	require.Equal(t, map[string]int{"ann": 3}, s.own)
}
