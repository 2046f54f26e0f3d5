package devstack

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"audittrail/platform/files"
)

// Folder is the data folder of one running stack: what it holds is kept between starts, and a lock
// keeps a second process out. The lock is the kernel's, so that it ends with the process, however
// that ends.
type Folder struct {
	dir   string
	parts []string
	lock  *os.File
}

// FolderOptions say what a folder is for.
type FolderOptions struct {
	Dir string
	// Parts are the files and folders in it that are the stack's. Reset removes these and nothing else.
	Parts []string
	// Before are those of Parts that may be there before the folder is a stack's.
	Before []string
}

// The folder's own files.
const (
	folderMarker = "audittrail-dev"
	folderKept   = "parts" // which of the parts that hold history a start has brought up, one a line
)

const markerText = "This folder belongs to `audittrail dev`: its broker, its database, its keys.\n" +
	"`audittrail dev --fresh` deletes them and begins anew.\n"

// ErrFolderInUse says that another process holds the folder.
var ErrFolderInUse = errors.New("another audittrail is running on this data folder")

// OpenFolder locks the folder, and makes it where it does not exist. A folder that holds files but was
// not made by OpenFolder is refused: it is somebody else's.
func OpenFolder(opts FolderOptions) (*Folder, error) {
	full, err := abs(opts.Dir)
	if err != nil {
		return nil, err
	}
	if err := claim(full, opts.Before); err != nil {
		return nil, fmt.Errorf("data folder %s: %w", full, err)
	}
	lock, err := lockNow(filepath.Join(full, folderMarker))
	if err != nil {
		return nil, fmt.Errorf("data folder %s: %w", full, err)
	}
	return &Folder{dir: full, parts: opts.Parts, lock: lock}, nil
}

// claim makes the folder with its marker, or sees that it has one.
func claim(dir string, before []string) error {
	// 0755: as root, PostgreSQL runs under another account and has to reach its part.
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	marker := filepath.Join(dir, folderMarker)
	if exists(marker) {
		return nil
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	for _, e := range entries {
		if name := e.Name(); name != folderMarker && !slices.Contains(before, name) {
			return fmt.Errorf("it holds %q and was not made by audittrail dev; name another one with --data", name)
		}
	}
	return os.WriteFile(marker, []byte(markerText), 0o644)
}

// lockNow takes the lock without waiting; the first holder writes its process id into the file.
func lockNow(path string) (*os.File, error) {
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return nil, err
	}
	if err = flock(f); errors.Is(err, ErrFolderInUse) {
		err = fmt.Errorf("%w%s", ErrFolderInUse, holder(path))
	}
	if err == nil {
		err = writeHolder(f)
	}
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

func writeHolder(f *os.File) error {
	text := fmt.Sprintf("%s\nprocess %d\n", markerText, os.Getpid())
	if err := f.Truncate(0); err != nil {
		return err
	}
	_, err := f.WriteAt([]byte(text), 0)
	return err
}

// holder is " (process 123)" where the marker says so.
func holder(path string) string {
	text, err := os.ReadFile(path)
	if err != nil {
		return ""
	}
	lines := strings.Split(strings.TrimSpace(string(text)), "\n")
	if last := lines[len(lines)-1]; strings.HasPrefix(last, "process ") {
		return " (" + last + ")"
	}
	return ""
}

// Path is where a part of the folder lies.
func (f *Folder) Path(part string) string { return filepath.Join(f.dir, part) }

// Dir is the folder's absolute path.
func (f *Folder) Dir() string { return f.dir }

// Kept are the parts that were added since the folder was made or reset, also if they are gone now.
func (f *Folder) Kept() ([]string, error) {
	text, err := os.ReadFile(f.Path(folderKept))
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("data folder: %w", err)
	}
	return strings.Fields(string(text)), nil
}

// Keep notes that these parts hold history that belongs together.
func (f *Folder) Keep(parts ...string) error {
	all, err := f.Kept()
	if err != nil {
		return err
	}
	known := len(all)
	for _, part := range parts {
		if !slices.Contains(all, part) {
			all = append(all, part)
		}
	}
	if len(all) == known {
		return nil
	}
	return files.Write(f.Path(folderKept), []byte(strings.Join(all, "\n")+"\n"), 0o644)
}

// Reset deletes what a stack keeps in the folder, and nothing that it did not make.
func (f *Folder) Reset() error {
	var errs []error
	for _, part := range append([]string{folderKept}, f.parts...) {
		errs = append(errs, os.RemoveAll(f.Path(part)))
	}
	return errors.Join(errs...)
}

// Close lets go of the lock; the folder and its data stay.
func (f *Folder) Close() error { return f.lock.Close() }
