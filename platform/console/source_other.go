//go:build !unix

package console

import (
	"context"
	"io"
	"os"
)

// openInterruptibly opens a file for reading.
func openInterruptibly(name string) (*os.File, error) { return os.Open(name) }

// interruptible is what it is given: a second Ctrl-C ends a read that waits for input.
func interruptible(_ context.Context, in io.Reader) io.Reader { return in }
