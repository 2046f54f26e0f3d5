package cmd

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
)

// source is a file that a command reads, or standard input, and how much of it has been read.
type source struct {
	io.Reader
	file  *os.File
	size  int64 // 0 where it is unknown, as of a pipe
	start int64 // where in the file it begins
	keep  bool  // Close leaves the file open
}

func openSource(ctx context.Context, name string, stdin io.Reader) (*source, error) {
	if name == "-" {
		s := &source{Reader: interruptible(ctx, stdin), keep: true}
		if f, ok := stdin.(*os.File); ok { // a file that the shell opened can be read again
			if info, err := f.Stat(); err == nil && info.Mode().IsRegular() {
				if s.start, err = f.Seek(0, io.SeekCurrent); err == nil {
					s.file, s.size = f, info.Size()
				}
			}
		}
		return s, nil
	}
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
	s := &source{Reader: interruptible(ctx, f), file: f}
	if info.Mode().IsRegular() {
		s.size = info.Size()
	}
	return s, nil
}

// rewind makes the file be read from its beginning again.
func (s *source) rewind() error {
	_, err := s.file.Seek(s.start, io.SeekStart)
	return err
}

// share is how much of the file has been read, from 0 to 1; -1 where its size is unknown.
func (s *source) share() float64 {
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
func (s *source) Close() error {
	if s.file == nil || s.keep {
		return nil
	}
	return s.file.Close()
}
