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
	maxState    = 4 << 20 // two checkpoints with all the signatures that one may have, and more

	// lockWait is how long one process waits for another that saves: an fsync, unless that one is frozen.
	lockWait = 5 * time.Second
)

// memory keeps a State. Save MUST be durable, and all or nothing, before it returns, and it MUST never go
// back. Where there is of a log more than known, what the caller found there or saved last, somebody else
// has put it there, and the caller can't tell whether what it saves is an extension of that: then nothing
// is saved, and ahead tells so.
type memory interface {
	Load() (State, error) // fs.ErrNotExist where nothing was ever saved
	Save(ctx context.Context, known, s State) (ahead bool, err error)
}

// stateFile is the path of a state file. Several processes may share it.
type stateFile string

// ReadState reads a state file; the error is fs.ErrNotExist where there is none. It verifies no signature.
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
	// A pipe would be waited for, and a device may never end.
	if info, err := os.Stat(string(p)); err != nil {
		return State{}, nil, err
	} else if !info.Mode().IsRegular() {
		return State{}, nil, fmt.Errorf("%s is no file", p)
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
			"the notary then begins anew from the checkpoints in the database, and can't tell whether that was rolled back", p, stateFormat)
	}
	return s, text, nil
}

// Save implements memory: under a lock it adds s to what the file holds; the new state lies beside the old
// one, on the disk, before it takes its place. A file that can't be read, or is of another origin, is
// left as it is. The lock's file stays: who removed it would let two processes hold a lock each.
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
	return false, files.SyncFolder(string(p)) // also of a file that is the same: who wrote it may have failed to
}

// lock holds a lock on a file until unlock is called, or the process ends. It waits a while for others.
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

// resolved is the path of a state file without links: it is replaced by another, and not the link to it.
// The processes that share it find one file then, and one lock.
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
