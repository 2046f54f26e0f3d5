//go:build unix

package console

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

// A named pipe that nobody ever writes to is waited for, and the waiting can be ended: in the opening it
// could not.
func TestWaitingForAPipesWriterCanBeEnded(t *testing.T) {
	pipe := filepath.Join(t.TempDir(), "pipe")
	require.NoError(t, unix.Mkfifo(pipe, 0o600))
	ctx, cancel := context.WithCancel(t.Context())
	opened, read := make(chan error, 1), make(chan error, 1)
	go func() {
		src, err := OpenInput(ctx, pipe, nil)
		opened <- err
		if err == nil {
			_, err = src.Read(make([]byte, 1))
			err = errors.Join(err, src.Close())
		}
		read <- err
	}()
	select {
	case err := <-opened:
		require.NoError(t, err)
	case <-time.After(10 * time.Second):
		_, _ = os.OpenFile(pipe, os.O_WRONLY|unix.O_NONBLOCK, 0) // lets it go
		t.Fatal("the opening waits")
	}
	cancel()
	require.ErrorIs(t, <-read, context.Canceled)
}
