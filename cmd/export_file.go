package cmd

import (
	"bufio"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
)

// exportFile is a file that gets its name when it is complete. commit or abort ends it.
type exportFile struct {
	io.Writer
	name   string
	file   *os.File
	buffer *bufio.Writer
	zip    *gzip.Writer // nil where it is not compressed
}

// createExport begins a file beside the name, readable to its owner alone: what it holds is anybody's
// business events.
func createExport(name string) (*exportFile, error) {
	// The file takes the name's place in the end: of a device or a pipe nothing would be left.
	if info, err := os.Stat(name); err == nil && !info.Mode().IsRegular() {
		return nil, wrongUsage("--out %s is a folder, a device or a pipe; leave --out away to write to standard output", name)
	}
	f, err := os.CreateTemp(filepath.Dir(name), "."+filepath.Base(name)+".*.partial")
	if err != nil {
		return nil, fmt.Errorf("create --out: %w", err)
	}
	e := &exportFile{name: name, file: f, buffer: bufio.NewWriterSize(f, 256<<10)}
	e.Writer = e.buffer
	if strings.HasSuffix(name, ".gz") {
		e.zip = gzip.NewWriter(e.buffer)
		e.Writer = e.zip
	}
	return e, nil
}

// commit makes the file durable, gives it its name, and answers how many bytes it has.
func (e *exportFile) commit() (int64, error) {
	size, err := e.finish()
	if err != nil {
		return 0, errors.Join(fmt.Errorf("write %s: %w", e.name, err), e.abort())
	}
	if err := os.Rename(e.file.Name(), e.name); err != nil {
		return 0, errors.Join(err, os.Remove(e.file.Name()))
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
