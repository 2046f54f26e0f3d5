package protect

import (
	"context"
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// oneWrapping is a KeyStore in memory, and counts how often it is asked for keys.
type oneWrapping struct {
	root     Root
	wrapping []WrappingKey
	keys     map[SubjectHash]WrappedKey
	asked    int
}

func (s *oneWrapping) Root(context.Context) (Root, []WrappingKey, bool, error) {
	return s.root, s.wrapping, len(s.wrapping) > 0, nil
}

func (s *oneWrapping) CreateRoot(_ context.Context, root Root, wrapping WrappingKey) error {
	s.root, s.wrapping = root, []WrappingKey{wrapping}
	return nil
}

func (s *oneWrapping) Subjects(_ context.Context, subjects []SubjectHash) (map[SubjectHash]Subject, error) {
	s.asked++
	found := map[SubjectHash]Subject{}
	for _, of := range subjects {
		if key, ok := s.keys[of]; ok {
			found[of] = Subject{Key: &key}
		}
	}
	return found, nil
}

func (s *oneWrapping) CreateKeys(_ context.Context, keys []WrappedKey) error {
	for _, key := range keys {
		s.keys[key.Subject] = key
	}
	return nil
}

func (s *oneWrapping) Keys(_ context.Context, ids []KeyID) (found []WrappedKey, err error) {
	for _, key := range s.keys {
		if slices.Contains(ids, key.ID) {
			found = append(found, key)
		}
	}
	return found, nil
}

func (s *oneWrapping) NoteLetterKey(context.Context, KeyID, time.Time) error { return nil }

type plainKEK struct{}

func (plainKEK) Encrypt(_ context.Context, plain []byte) ([]byte, error)   { return plain, nil }
func (plainKEK) Decrypt(_ context.Context, wrapped []byte) ([]byte, error) { return wrapped, nil }

// A keyring keeps keys only while it hears of those that are destroyed.
func TestKeysAreKeptWhileTheDatabaseIsHeard(t *testing.T) {
	stored := &oneWrapping{keys: map[SubjectHash]WrappedKey{}}
	k := NewKeyring(stored, func(context.Context) (KEK, error) { return plainKEK{}, nil })
	now := time.Now()
	k.now = func() time.Time { return now }
	asks := func(want int, why string) {
		t.Helper()
		before := stored.asked
		_, err := k.forSubjects(t.Context(), []SubjectHash{{1}})
		require.NoError(t, err)
		require.Equal(t, want, stored.asked-before, why)
	}
	asks(2, "it is created, and read")
	asks(1, "nobody listens")
	k.hear(now)
	asks(1, "it was not kept before")
	asks(0, "it is kept")
	now = now.Add(trusted)
	asks(0, "it was heard lately")
	now = now.Add(time.Millisecond)
	asks(1, "the database is silent")
	asks(1, "and stays so")
	k.hear(now)
	asks(1, "heard again")
	asks(0, "kept again")
	k.Forget()
	asks(1, "a key was destroyed")
	asks(0, "kept again")
}

// What was read before a key was destroyed is not kept after it.
func TestWhatWasReadBeforeIsNotKept(t *testing.T) {
	stored := &oneWrapping{keys: map[SubjectHash]WrappedKey{}}
	k := NewKeyring(stored, func(context.Context) (KEK, error) { return plainKEK{}, nil })
	k.hear(time.Now())
	k.mu.Lock()
	drops := k.drops
	k.mu.Unlock()
	k.Forget()
	k.keep(drops, map[KeyID]subjectKey{{1}: {}}, nil)
	require.Empty(t, k.ids.young)
}

// Who loses the connection listens again.
func TestWatchListensAgain(t *testing.T) {
	k := NewKeyring(nil, nil)
	ctx, cancel := context.WithCancel(t.Context())
	times := 0
	k.Watch(ctx, func(context.Context, Announcements) error {
		if times++; times == 2 {
			cancel()
		}
		return errors.New("the connection is lost")
	})
	require.Equal(t, 2, times)
}
