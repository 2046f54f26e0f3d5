package notary

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"audittrail/platform/files"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

const (
	stateFormat = "audittrail-notary/v1"
	maxState    = 4 << 20 // more than two checkpoints with all the signatures that they may have

	// lockWait bounds how long a process waits for another one that saves. Saving takes one fsync.
	lockWait = 5 * time.Second
)

// memory keeps a State. Save MUST be atomic, and durable when it returns. It MUST NOT set a log back to a smaller
// checkpoint. known is what the caller last loaded or saved. If the memory has more of a log than known, another
// process has written it, and the caller can't tell whether s extends that. Then Save saves nothing and returns
// ahead.
type memory interface {
	Load() (State, error) // fs.ErrNotExist if nothing was ever saved
	Save(ctx context.Context, known, s State) (ahead bool, err error)
}

// stateFile is the path of a state file. Several processes may share it.
type stateFile string

// ReadState reads a state file. The error is fs.ErrNotExist if there is none. It verifies no signature.
func ReadState(path string) (State, error) { return stateFile(path).Load() }

// Load implements memory.
func (p stateFile) Load() (State, error) {
	s, _, err := p.read()
	if err != nil {
		return State{}, fmt.Errorf("notary.state_file: %w", err)
	}
	return s, nil
}

func (p stateFile) read() (State, []byte, error) {
	// Opening a pipe would wait, and reading a device may never end.
	if info, err := os.Stat(string(p)); err != nil {
		return State{}, nil, err
	} else if !info.Mode().IsRegular() {
		return State{}, nil, fmt.Errorf("%s is not a regular file", p)
	}
	f, err := os.Open(string(p))
	if err != nil {
		return State{}, nil, err
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, maxState+1))
	if err != nil {
		return State{}, nil, err
	}
	var s State
	err = json.Unmarshal(text, &s, json.RejectUnknownMembers(true))
	if err != nil || len(text) > maxState || s.Format != stateFormat {
		return State{}, nil, fmt.Errorf("%s is not a notary's state (%s); restore it, or move it away: "+
			"the notary then begins with the checkpoints in the database, and can't tell whether the database was rolled back", p, stateFormat)
	}
	return s, text, nil
}

// Save implements memory. Under a lock it merges s into the file, which it replaces by a new one that is already on
// disk. It does not change a file that can't be read or is of another origin. It never removes the lock file:
// otherwise two processes could each hold a lock.
func (p stateFile) Save(ctx context.Context, known, s State) (ahead bool, err error) {
	if ahead, err = p.save(ctx, known, s); err != nil {
		return false, fmt.Errorf("notary.state_file: %w", err)
	}
	return ahead, nil
}

func (p stateFile) save(ctx context.Context, known, s State) (ahead bool, err error) {
	if err := os.MkdirAll(filepath.Dir(string(p)), 0o750); err != nil {
		return false, err
	}
	unlock, err := lock(ctx, string(p)+".lock", lockWait)
	if err != nil {
		return false, err
	}
	defer unlock()
	there, before, err := p.read()
	if errors.Is(err, fs.ErrNotExist) {
		there, err = State{Origin: s.Origin}, nil
	}
	if err == nil {
		err = there.check(s.Origin)
	}
	if err != nil {
		return false, err
	}
	if ahead, err := there.outruns(known, s); err != nil || ahead {
		return ahead, err
	}
	merged, err := s.merge(there)
	if err != nil {
		return false, err
	}
	text, err := json.Marshal(merged, jsontext.WithIndent("  "))
	if err != nil {
		return false, err
	}
	if text = append(text, '\n'); !bytes.Equal(text, before) {
		if err := files.Write(string(p), text, 0o600); err != nil {
			return false, err
		}
	}
	return false, files.SyncFolder(string(p)) // even if nothing changed: the process that wrote it may have failed here
}

// lock locks a file until unlock is called or the process ends. It waits for other processes, up to patience.
func lock(ctx context.Context, path string, patience time.Duration) (unlock func(), err error) {
	ctx, cancel := context.WithTimeoutCause(ctx, patience, fmt.Errorf("another process has held it for %s", patience))
	defer cancel()
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	again := time.NewTicker(time.Millisecond)
	defer again.Stop()
	for {
		held, err := tryLock(f)
		if held {
			return func() { _ = f.Close() }, nil // the lock goes with it
		}
		if err == nil {
			select {
			case <-again.C:
				continue
			case <-ctx.Done():
			}
		}
		return nil, errors.Join(fmt.Errorf("lock %s: %w", path, cmp.Or(err, context.Cause(ctx))), f.Close())
	}
}

// resolved returns the path of a state file with symbolic links followed, so that saving replaces the file and not
// a link to it. Processes that share the file so use the same path and the same lock.
func resolved(path string) (string, error) {
	path, err := filepath.Abs(path)
	if err != nil {
		return "", err
	}
	target, err := filepath.EvalSymlinks(path)
	if err == nil {
		return target, nil
	}
	if info, err := os.Lstat(path); err == nil && info.Mode()&fs.ModeSymlink != 0 {
		return "", fmt.Errorf("%s is a link to nothing: name the file itself", path)
	}
	return path, nil // there is none yet
}
