package notary

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"audittrail/modules/ledger"
)

// stateAt is a state that has both logs signed at these sizes by the keys.
func stateAt(t *testing.T, events, access int64, keys ...ledger.SigningKey) State {
	t.Helper()
	s := State{Format: stateFormat, Origin: origin}
	for log, size := range map[ledger.Log]int64{ledger.Events: events, ledger.Access: access} {
		if size == 0 {
			continue
		}
		signer, err := newSigner(keys, ledger.Keys{}, log)
		require.NoError(t, err)
		signed, err := signer.sign(size, leaf(1, size))
		require.NoError(t, err)
		s.Logs = append(s.Logs, LogState{Log: log, Checkpoint: string(signed.Note), Previous: size - 1, SignedAt: time.Unix(size, 0).UTC()})
	}
	return s
}

// sizesOf are the sizes in a state of stateAt; -1 where an entry is not whole.
func sizesOf(s State) (events, access int64) {
	sizes := make(map[ledger.Log]int64)
	for _, l := range s.Logs {
		c, _, err := l.parse()
		if err != nil || l.Previous != c.Size-1 || l.SignedAt.Unix() != c.Size {
			return -1, -1
		}
		sizes[l.Log] = c.Size
	}
	return sizes[ledger.Events], sizes[ledger.Access]
}

// TestAFileNeverGoesBack: of savers that run at once, each with its own idea of the logs, the file has the
// largest of each log at any time.
func TestAFileNeverGoesBack(t *testing.T) {
	t.Parallel()
	const savers, saves = 6, 40
	path := stateFile(tempState(t))
	done := make(chan struct{})
	watching := make(chan error, 1)
	go func() {
		var last [2]int64
		for {
			s, err := path.Load()
			if err != nil && !errors.Is(err, fs.ErrNotExist) {
				watching <- err
				return
			}
			events, access := sizesOf(s)
			if events < last[0] || access < last[1] {
				watching <- errors.New("it went back")
				return
			}
			last = [2]int64{events, access}
			select {
			case <-done:
				watching <- nil
				return
			default:
			}
		}
	}()
	var all sync.WaitGroup
	for saver := range savers {
		all.Go(func() {
			for i := range saves {
				events, access := int64(saver+i*savers), int64(saves*savers-i*savers-saver)
				for ahead := true; ahead; { // as a process that ends its term, and looks again
					known, err := path.Load()
					if errors.Is(err, fs.ErrNotExist) {
						known, err = State{}, nil
					}
					if err != nil {
						t.Error(err)
					}
					e, a := sizesOf(known)
					if ahead, err = path.Save(t.Context(), known, stateAt(t, max(e, events), max(a, access), key(t, 1))); err != nil {
						t.Error(err)
						return
					}
				}
				s, err := path.Load()
				if err != nil {
					t.Error(err)
				}
				if e, a := sizesOf(s); e < events || a < access {
					t.Errorf("saved %d and %d, but it has %d and %d", events, access, e, a)
				}
			}
		})
	}
	all.Wait()
	close(done)
	require.NoError(t, <-watching)
	s, err := path.Load()
	require.NoError(t, err)
	events, access := sizesOf(s)
	require.EqualValues(t, savers*saves-1, events)
	require.EqualValues(t, savers*saves, access)
	files, err := os.ReadDir(filepath.Dir(string(path)))
	require.NoError(t, err)
	require.Len(t, files, 2, "the file and its lock")
}

// TestSavingTellsWhatIsAhead: who saves less than there is learns it, and two roots of a size never pass.
func TestSavingTellsWhatIsAhead(t *testing.T) {
	t.Parallel()
	path := stateFile(tempState(t))
	save := func(known, s State) bool {
		t.Helper()
		ahead, err := path.Save(t.Context(), known, s)
		require.NoError(t, err)
		return ahead
	}
	at := func(events, access int64) State { return stateAt(t, events, access, key(t, 1)) }
	require.False(t, save(State{}, at(5, 0)))
	require.False(t, save(at(5, 0), at(6, 3)))
	written, err := os.ReadFile(string(path))
	require.NoError(t, err)
	require.True(t, save(at(5, 0), at(7, 3)), "less than what is saved, and not known")
	require.True(t, save(at(6, 0), at(7, 0)), "a log that is not named")
	require.True(t, save(at(6, 2), at(7, 2)), "of one log")
	require.True(t, save(State{}, at(7, 4)))
	unchanged, err := os.ReadFile(string(path))
	require.NoError(t, err)
	require.Equal(t, string(written), string(unchanged))
	require.False(t, save(at(6, 3), at(7, 3)))
	require.False(t, save(at(6, 3), stateAt(t, 7, 3, key(t, 2))), "the same by another key")
	s, err := path.Load()
	require.NoError(t, err)
	for _, l := range s.Logs {
		signed, err := ledger.OpenCheckpoint([]byte(l.Checkpoint), trust(t, key(t, 1), key(t, 2)))
		require.NoError(t, err)
		require.Len(t, signed.Keys, 2, "the signatures of both")
	}
	before, err := os.ReadFile(string(path))
	require.NoError(t, err)
	fork := stateAt(t, 7, 3, key(t, 1))
	for i, l := range fork.Logs {
		signer, err := newSigner([]ledger.SigningKey{key(t, 1)}, ledger.Keys{}, l.Log)
		require.NoError(t, err)
		signed, err := signer.sign(map[ledger.Log]int64{ledger.Events: 7, ledger.Access: 3}[l.Log], leaf(9, 1))
		require.NoError(t, err)
		fork.Logs[i].Checkpoint = string(signed.Note)
	}
	_, err = path.Save(t.Context(), at(7, 3), fork)
	require.ErrorContains(t, err, "two checkpoints of the log")
	_, err = path.Save(t.Context(), fork, at(8, 3))
	require.ErrorContains(t, err, "two checkpoints of the log")
	after, err := os.ReadFile(string(path))
	require.NoError(t, err)
	require.Equal(t, string(before), string(after))
}

// TestAFileThatIsNotOursStays: whatever can't be read as this ledger's state is not written over.
func TestAFileThatIsNotOursStays(t *testing.T) {
	t.Parallel()
	other := `{"format": "audittrail-notary/v1", "origin": "audit.example.com/other", "logs": []}`
	for want, text := range map[string]string{
		"is not a notary's state":                         "",
		"moved away":                                      "",
		`the state is of "audit.example.com/other"`:       other,
		`names the log "eventz" twice, or there is none`:  `{"format": "audittrail-notary/v1", "origin": "` + origin + `", "logs": [{"log": "eventz"}]}`,
		"is not a checkpoint: a log's name, its size and": `{"format": "audittrail-notary/v1", "origin": "` + origin + `", "logs": [{"log": "events", "checkpoint": "x"}]}`,
	} {
		if want == "moved away" {
			want = "move it away"
		}
		path := stateFile(filepath.Join(t.TempDir(), "notary.json"))
		require.NoError(t, os.WriteFile(string(path), []byte(text), 0o600))
		_, err := path.Save(t.Context(), State{}, stateAt(t, 5, 0, key(t, 1)))
		require.ErrorContains(t, err, want)
		require.ErrorContains(t, err, "notary.state_file")
		kept, err := os.ReadFile(string(path))
		require.NoError(t, err)
		require.Equal(t, text, string(kept))
	}
}

// TestAFrozenProcessIsNotWaitedForForEver: who can't have the lock says so.
func TestAFrozenProcessIsNotWaitedForForEver(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "lock")
	unlock, err := lock(t.Context(), path, time.Second)
	require.NoError(t, err)
	_, err = lock(t.Context(), path, 20*time.Millisecond)
	require.ErrorContains(t, err, "another process has held it")
	unlock()
	unlock, err = lock(t.Context(), path, time.Second)
	require.NoError(t, err)
	unlock()
}

// TestWhatIsNoFile is refused at once, and not waited for.
func TestWhatIsNoFile(t *testing.T) {
	t.Parallel()
	for _, path := range []string{t.TempDir(), os.DevNull} {
		_, err := stateFile(path).Load()
		require.ErrorContains(t, err, "is not a regular file")
		_, err = stateFile(path).Save(t.Context(), State{}, stateAt(t, 5, 0, key(t, 1)))
		require.ErrorContains(t, err, "is not a regular file")
	}
}

// TestLinksAreFollowed: the file that is replaced is the one that others name, too.
func TestLinksAreFollowed(t *testing.T) {
	t.Parallel()
	d := newDatabase(t)
	target := tempState(t)
	state := stateAt(t, 5, 0, key(t, 1))
	_, err := stateFile(target).Save(t.Context(), State{}, state)
	require.NoError(t, err)
	link := filepath.Join(t.TempDir(), "link")
	if err := os.Symlink(target, link); err != nil {
		t.Skip("no links here: ", err)
	}
	n := d.notary(link, key(t, 1))
	_, err = n.memory.Save(t.Context(), state, stateAt(t, 6, 0, key(t, 1)))
	require.NoError(t, err)
	s, err := ReadState(target)
	require.NoError(t, err)
	c, err := s.checkpoint(ledger.Events)
	require.NoError(t, err)
	require.EqualValues(t, 6, c.Size)
	info, err := os.Lstat(link)
	require.NoError(t, err)
	require.NotZero(t, info.Mode()&fs.ModeSymlink)

	require.NoError(t, os.Remove(target))
	_, err = d.tryNotary(link, key(t, 1))
	require.ErrorContains(t, err, "is a link to nothing")
}
