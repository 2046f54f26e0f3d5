package store_test

import (
	"testing"

	"github.com/stretchr/testify/require"
)

// TestAppendTakesWhatIsErasedForTheSame: where the digest of an id's holder was erased nobody can tell
// whether a record says the same, and a conflict would bring the erased content back as a dead letter.
func TestAppendTakesWhatIsErasedForTheSame(t *testing.T) {
	t.Parallel()
	s := newStore(t)
	s.begin(t, 1)
	_, err := s.Append(t.Context(), one(t, 0, record(0, 0, id(1), 1)))
	require.NoError(t, err)
	_, err = s.owner.Exec(t.Context(), `ALTER TABLE event_keys DISABLE TRIGGER refuse_change;
		UPDATE event_keys SET digest = '\x00'; ALTER TABLE event_keys ENABLE ALWAYS TRIGGER refuse_change`)
	require.NoError(t, err)

	got, err := s.Append(t.Context(), one(t, 1, record(0, 1, id(1), 1), record(0, 2, id(1), 2)))
	require.NoError(t, err)
	require.Equal(t, 2, got.Duplicates)
	require.Zero(t, got.DeadLettered)
	s.balance(t)
}
