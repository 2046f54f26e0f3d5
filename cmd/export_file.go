package cmd

import (
	"bufio"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// exportFile is a file that gets its name when it is complete. commit or abort ends it.
type exportFile struct {
	io.Writer
	name   string // as it was given
	target string // where name leads: itself, or what stands behind its links
	file   *os.File
	buffer *bufio.Writer
	zip    *gzip.Writer // nil where it is not compressed
}

// maxLinks is how many links a name may lead over, as Linux has it.
const maxLinks = 40

// createExport begins a file beside the one that the name leads to, readable to its owner alone: what it
// holds is anybody's business events.
func createExport(name string) (*exportFile, error) {
	target, err := exportTarget(name)
	if err != nil {
		return nil, err
	}
	f, err := os.CreateTemp(filepath.Dir(target), "."+filepath.Base(target)+".*.partial")
	if err != nil {
		return nil, fmt.Errorf("create --out: %w", err)
	}
	e := &exportFile{name: name, target: target, file: f, buffer: bufio.NewWriterSize(f, 256<<10)}
	e.Writer = e.buffer
	if strings.HasSuffix(name, ".gz") {
		e.zip = gzip.NewWriter(e.buffer)
		e.Writer = e.zip
	}
	return e, nil
}

// exportTarget is the file whose place the finished export takes. It need not be there. One that is must be
// a file that may be written: of a device or a pipe nothing would be left, and a file that somebody made
// read-only is kept.
func exportTarget(name string) (string, error) {
	info, err := os.Stat(name)
	if errors.Is(err, fs.ErrNotExist) {
		return followLinks(name)
	}
	if err != nil {
		return "", fmt.Errorf("--out: %w", err)
	}
	if !info.Mode().IsRegular() {
		return "", wrongUsage("--out %s is a folder, a device or a pipe; leave --out away to write to standard output", name)
	}
	if info.Mode().Perm()&0o222 == 0 { // a superuser may write it all the same
		return "", wrongUsage("--out %s is read-only; remove it first, or choose another name", name)
	}
	f, err := os.OpenFile(name, os.O_WRONLY, 0)
	if err != nil {
		return "", fmt.Errorf("--out: %w", err)
	}
	if err := f.Close(); err != nil {
		return "", fmt.Errorf("--out: %w", err)
	}
	return followLinks(name)
}

// followLinks is where a name leads: the file itself, there or not, where the name is no symbolic link. A
// file that took a link's own place would leave the old one to whoever reads what the link led to.
func followLinks(name string) (string, error) {
	for range maxLinks {
		leads, err := os.Readlink(name)
		if err != nil {
			return name, nil //nolint:nilerr // it is no link, or is not there
		}
		if !filepath.IsAbs(leads) { // filepath.Join would take a .. behind a link for the wrong folder
			folder, _ := filepath.Split(name)
			leads = folder + leads
		}
		folder, file := filepath.Split(leads)
		if folder, err = filepath.EvalSymlinks(folder); err != nil {
			return "", fmt.Errorf("--out: %w", err)
		}
		name = filepath.Join(folder, file)
	}
	return "", wrongUsage("--out %s leads over too many links", name)
}

// commit gives the file its name, makes both durable, and answers how many bytes it has.
func (e *exportFile) commit() (int64, error) {
	size, err := e.finish()
	if err != nil {
		return 0, errors.Join(fmt.Errorf("write %s: %w", e.name, err), e.abort())
	}
	if err := os.Rename(e.file.Name(), e.target); err != nil {
		return 0, errors.Join(err, os.Remove(e.file.Name()))
	}
	syncFolder(e.target)
	return size, nil
}

func (e *exportFile) finish() (int64, error) {
	if e.zip != nil {
		if err := e.zip.Close(); err != nil {
			return 0, err
		}
	}
	if err := e.buffer.Flush(); err != nil {
		return 0, err
	}
	if err := e.file.Sync(); err != nil {
		return 0, err
	}
	info, err := e.file.Stat()
	if err != nil {
		return 0, err
	}
	return info.Size(), e.file.Close()
}

// abort takes away what was written. A file that is closed already is no error.
func (e *exportFile) abort() error {
	if err := e.file.Close(); err != nil && !errors.Is(err, os.ErrClosed) {
		return err
	}
	return os.Remove(e.file.Name())
}
