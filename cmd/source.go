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
	file *os.File
	size int64 // 0 where it is unknown
}

func openSource(ctx context.Context, name string, stdin io.Reader) (*source, error) {
	if name == "-" {
		return &source{Reader: interruptible(ctx, stdin)}, nil
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
	if s.file == nil {
		return nil
	}
	return s.file.Close()
}
