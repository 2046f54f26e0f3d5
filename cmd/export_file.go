package cmd

import (
	"bufio"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"

	"audittrail/platform/files"
)

// exportFile is a file that gets its name when it is complete. commit or abort ends it.
type exportFile struct {
	io.Writer
	file   *files.File
	buffer *bufio.Writer
	zip    *gzip.Writer // nil where it is not compressed
}

// createExport begins the file that the name leads to, readable to its owner alone: what it holds is
// anybody's business events. A link keeps its place.
func createExport(name string) (*exportFile, error) {
	if err := checkExportTarget(name); err != nil {
		return nil, err
	}
	target, err := files.FollowLinks(name)
	if err != nil {
		return nil, fmt.Errorf("--out: %w", err)
	}
	f, err := files.Create(target, 0o600)
	if err != nil {
		return nil, fmt.Errorf("create --out: %w", err)
	}
	e := &exportFile{file: f, buffer: bufio.NewWriterSize(f, 256<<10)}
	e.Writer = e.buffer
	if strings.HasSuffix(name, ".gz") {
		e.zip = gzip.NewWriter(e.buffer)
		e.Writer = e.zip
	}
	return e, nil
}

// checkExportTarget refuses what the finished export must not take the place of. It need not be there. One
// that is must be a file that may be written: of a device or a pipe nothing would be left, and a file that
// somebody made read-only is kept.
func checkExportTarget(name string) error {
	info, err := os.Stat(name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("--out: %w", err)
	}
	if !info.Mode().IsRegular() {
		return wrongUsage("--out %s is a folder, a device or a pipe; leave --out away to write to standard output", name)
	}
	if info.Mode().Perm()&0o222 == 0 { // a superuser may write it all the same
		return wrongUsage("--out %s is read-only; remove it first, or choose another name", name)
	}
	f, err := os.OpenFile(name, os.O_WRONLY, 0)
	if err == nil {
		err = f.Close()
	}
	if err != nil {
		return fmt.Errorf("--out: %w", err)
	}
	return nil
}

// commit gives the file its name, and answers how many bytes it has.
func (e *exportFile) commit() (int64, error) {
	size, err := e.finish()
	if err != nil {
		return 0, errors.Join(fmt.Errorf("write --out: %w", err), e.abort())
	}
	if err := e.file.Commit(); err != nil {
		return 0, fmt.Errorf("write --out: %w", err)
	}
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
	info, err := e.file.Stat()
	if err != nil {
		return 0, err
	}
	return info.Size(), nil
}

// abort takes away what was written.
func (e *exportFile) abort() error { return e.file.Discard() }
