//go:build unix

package console

import (
	"context"
	"errors"
	"io"
	"os"

	"golang.org/x/sys/unix"
)

// openInterruptibly opens a file for reading. A named pipe that nobody writes to would be waited for in the
// opening; so it is waited for in interruptible's reads.
func openInterruptibly(name string) (*os.File, error) {
	return os.OpenFile(name, os.O_RDONLY|unix.O_NONBLOCK, 0)
}

// interruptible makes reads of a terminal or pipe end with ctx. A read that waits for input can't be
// called back, so none is begun before there is something to read.
func interruptible(ctx context.Context, in io.Reader) io.Reader {
	f, ok := in.(*os.File)
	if !ok {
		return in
	}
	return &pollReader{done: ctx.Done(), file: f}
}

// pollReader reads until done is closed.
type pollReader struct {
	done <-chan struct{}
	file *os.File
}

func (r *pollReader) Read(p []byte) (int, error) {
	const waitMillis = 200
	fds := []unix.PollFd{{Fd: int32(r.file.Fd()), Events: unix.POLLIN}}
	for {
		select {
		case <-r.done:
			return 0, context.Canceled
		default:
		}
		n, err := unix.Poll(fds, waitMillis)
		switch {
		case errors.Is(err, unix.EINTR):
		case err != nil || n > 0:
			return r.file.Read(p) // what can't be polled can be read at once
		}
	}
}
