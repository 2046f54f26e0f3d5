//go:build !unix

package cmd

import (
	"context"
	"io"
)

// interruptible is what it is given: a second Ctrl-C ends a read that waits for input.
func interruptible(_ context.Context, in io.Reader) io.Reader { return in }
