package protect

import (
	"context"
	"errors"
	"testing"

	"github.com/stretchr/testify/require"
)

// awayKeys is a KeyStore whose subjects' keys can't be had while away is set.
type awayKeys struct {
	oneWrapping
	away error
}

func (s *awayKeys) Subjects(ctx context.Context, subjects []SubjectHash) (map[SubjectHash]Subject, error) {
	if s.away != nil {
		return nil, s.away
	}
	return s.oneWrapping.Subjects(ctx, subjects)
}

func (s *awayKeys) Keys(ctx context.Context, ids []KeyID) ([]WrappedKey, error) {
	if s.away != nil {
		return nil, s.away
	}
	return s.oneWrapping.Keys(ctx, ids)
}

// The database of keys may go away after the wrapping keys were loaded.
func TestTroubleNamesTheDatabaseOfKeys(t *testing.T) {
	t.Parallel()
	stored := &awayKeys{oneWrapping: oneWrapping{keys: map[SubjectHash]WrappedKey{}}}
	k := NewKeyring(stored, func(context.Context) (KEK, error) { return plainKEK{}, nil })
	subject := []SubjectHash{{1}}
	made, err := k.forSubjects(t.Context(), subject)
	require.NoError(t, err)
	require.NoError(t, k.Trouble())
	for name, ask := range map[string]func(context.Context) error{
		"seal": func(ctx context.Context) error { _, err := k.forSubjects(ctx, subject); return err },
		"open": func(ctx context.Context) error { _, err := k.byID(ctx, []KeyID{made[subject[0]].id}); return err },
	} {
		stored.away = errors.New("connection refused")
		gone, leave := context.WithCancel(t.Context())
		leave()
		require.Error(t, ask(gone), name)
		require.NoError(t, k.Trouble(), "%s: a caller that went away says nothing about the keys", name)
		require.Error(t, ask(t.Context()), name)
		require.ErrorIs(t, k.Trouble(), stored.away, name)
		stored.away = nil
		require.NoError(t, ask(t.Context()), name)
		require.NoError(t, k.Trouble(), name)
	}
}

// A try to load keys goes on without who began it, but not without the keyring.
func TestCloseEndsATryToLoadKeys(t *testing.T) {
	t.Parallel()
	began, ended := make(chan struct{}), make(chan struct{})
	k := NewKeyring(&oneWrapping{}, func(ctx context.Context) (KEK, error) {
		close(began)
		<-ctx.Done()
		close(ended)
		return nil, ctx.Err()
	})
	gone, leave := context.WithCancel(t.Context())
	go func() {
		<-began
		leave()
	}()
	require.Error(t, k.Ready(gone))
	listening, stop := context.WithCancel(t.Context())
	stop()
	k.Watch(listening, nil)
	select {
	case <-ended:
	default:
		require.Fail(t, "the try goes on")
	}
	require.ErrorContains(t, k.Ready(t.Context()), "can't be reached")
	k.Close()
}
