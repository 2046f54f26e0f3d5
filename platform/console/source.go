package console

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
)

// Source is a file that a command reads, or standard input, and how much of it has been read.
type Source struct {
	io.Reader
	file  *os.File
	size  int64 // 0 where it is unknown, as of a pipe
	start int64 // where in the file it begins
	keep  bool  // Close leaves the file open
}

// OpenFile opens a file for reading. Reads end with ctx, also those that wait, as of a pipe.
func OpenFile(ctx context.Context, name string) (*Source, error) {
	f, err := openInterruptibly(name)
	if err != nil {
		return nil, err
	}
	info, err := f.Stat()
	if err == nil && info.IsDir() {
		err = fmt.Errorf("%s is a folder", name)
	}
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	s := &Source{Reader: interruptible(ctx, f), file: f}
	if info.Mode().IsRegular() {
		s.size = info.Size()
	}
	return s, nil
}

// OpenInput is OpenFile, but for the name "-", which is standard input.
func OpenInput(ctx context.Context, name string, stdin io.Reader) (*Source, error) {
	if name != "-" {
		return OpenFile(ctx, name)
	}
	s := &Source{Reader: interruptible(ctx, stdin), keep: true}
	if f, ok := stdin.(*os.File); ok { // a file that the shell opened can be read again
		if info, err := f.Stat(); err == nil && info.Mode().IsRegular() {
			if s.start, err = f.Seek(0, io.SeekCurrent); err == nil {
				s.file, s.size = f, info.Size()
			}
		}
	}
	return s, nil
}

// CanRewind reports whether the file can be read again: it is no pipe, and not empty.
func (s *Source) CanRewind() bool { return s.size > 0 }

// Rewind makes the file be read from its beginning again.
func (s *Source) Rewind() error {
	_, err := s.file.Seek(s.start, io.SeekStart)
	return err
}

// Share is how much of the file has been read, from 0 to 1; -1 where its size is unknown.
func (s *Source) Share() float64 {
	if s.size == 0 {
		return -1
	}
	at, err := s.file.Seek(0, io.SeekCurrent)
	if err != nil {
		return -1
	}
	return min(float64(at)/float64(s.size), 1)
}

// Close closes the file; standard input stays open.
func (s *Source) Close() error {
	if s.file == nil || s.keep {
		return nil
	}
	return s.file.Close()
}
