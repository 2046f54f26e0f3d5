//go:build unix

package cmd

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

func namedPipe(t *testing.T) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "pipe")
	require.NoError(t, unix.Mkfifo(name, 0o600))
	return name
}

// A named pipe that nobody ever writes to is waited for, and the waiting can be ended: in the opening it
// could not.
func TestWaitingForAPipesWriterCanBeEnded(t *testing.T) {
	pipe := namedPipe(t)
	ctx, cancel := context.WithCancel(t.Context())
	opened, read := make(chan error, 1), make(chan error, 1)
	go func() {
		src, err := openSource(ctx, pipe, nil)
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
	status := run(ctx, []string{"verify", pipe, "--key", vectors + "keys.txt"}, &bytes.Buffer{}, &bytes.Buffer{})
	require.Equal(t, statusFailed, status)
	var errs bytes.Buffer
	status = run(ctx, []string{"verify", vectors + "events.json", "--key", pipe}, &bytes.Buffer{}, &errs)
	require.Equal(t, statusFailed, status)
	require.Contains(t, errs.String(), "interrupted")
}

// What is written to a named pipe is verified, however late it comes.
func TestVerifyReadsANamedPipe(t *testing.T) {
	pipe := namedPipe(t)
	text := readEvidence(t, "events.json")
	written := make(chan error, 1)
	go func() {
		f, err := os.OpenFile(pipe, os.O_WRONLY, 0) // waits for the reader
		if err == nil {
			_, err = f.WriteString(text[:1000])
		}
		if err == nil {
			_, err = f.WriteString(text[1000:])
		}
		if err == nil {
			err = f.Close()
		}
		written <- err
	}()
	out, errs, status := call(t, "verify", pipe, "--key", vectors+"keys.txt")
	require.Equal(t, statusDone, status, errs)
	require.Contains(t, out, pipe+": proven\n")
	require.NoError(t, <-written)
}
