// Package files writes files that are there as a whole or not at all, also after a crash.
//
// A file is written beside its place, under a name that begins with a dot and ends in .partial, synced,
// and renamed. Like rename(2), that replaces a symbolic link and not what it leads to: see FollowLinks.
package files

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// File is a file that gets its name when it is complete. Commit or Discard MUST end it.
type File struct {
	*os.File
	path string
}

// private is the mode that os.CreateTemp gives.
const private fs.FileMode = 0o600

// Create begins the file that takes the place of path, with this mode whatever the umask is.
func Create(path string, mode fs.FileMode) (*File, error) {
	f, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+".*.partial")
	if err != nil {
		return nil, beside(path, err)
	}
	pending := &File{f, path}
	if mode != private { // not all file systems can change it
		if err := f.Chmod(mode); err != nil {
			return nil, errors.Join(beside(path, err), pending.Discard())
		}
	}
	return pending, nil
}

// Commit syncs the file and gives it its name, in place of what had it. When that fails the old file stays,
// and the new one is discarded. The name itself is synced where the system can: whoever must be sure of it
// calls SyncFolder.
func (f *File) Commit() error {
	err := errors.Join(f.Sync(), f.Close())
	if err == nil {
		err = os.Rename(f.Name(), f.path)
	}
	if err != nil {
		return errors.Join(beside(f.path, err), f.Discard())
	}
	_ = SyncFolder(f.path)
	return nil
}

// Discard removes what was written. It is for a file that was not committed.
func (f *File) Discard() error {
	if err := f.Close(); err != nil && !errors.Is(err, os.ErrClosed) {
		return beside(f.path, err)
	}
	return beside(f.path, os.Remove(f.Name()))
}

// Write puts a file in place of path, with this mode whatever the umask is.
func Write(path string, text []byte, mode fs.FileMode) error {
	f, err := Create(path, mode)
	if err != nil {
		return err
	}
	if _, err := f.Write(text); err != nil {
		return errors.Join(beside(path, err), f.Discard())
	}
	return f.Commit()
}

// WriteNew writes a file that is not there yet; the error is fs.ErrExist where anything has its name, and be
// it a link to nothing. It is written under its own name, since no rename spares what is there: a crash may
// leave a part of it.
func WriteNew(path string, text []byte, mode fs.FileMode) error {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, mode)
	if err != nil {
		return err
	}
	_, err = f.Write(text)
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return errors.Join(err, os.Remove(path))
	}
	_ = SyncFolder(path)
	return nil
}

// SyncFolder makes the name of a file last, as syncing the file makes what is in it last. Not all systems
// can; where one can't, the file is there all the same.
func SyncFolder(path string) error {
	folder, err := os.Open(filepath.Dir(path))
	if err != nil {
		return err
	}
	return errors.Join(folder.Sync(), folder.Close())
}

// beside leaves the temporary file's name out of an error: it is another each time, and what goes on for
// long, as a full disk, has one text.
func beside(path string, err error) error {
	var of *fs.PathError
	var to *os.LinkError
	switch {
	case errors.As(err, &of):
		return fmt.Errorf("%s beside %s: %w", of.Op, path, of.Err)
	case errors.As(err, &to):
		return fmt.Errorf("%s to %s: %w", to.Op, path, to.Err)
	}
	return err
}
