//go:build unix

package cmd

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

func namedPipe(t *testing.T) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "pipe")
	require.NoError(t, unix.Mkfifo(name, 0o600))
	return name
}

// A named pipe that nobody ever writes to is not waited for once the command is to end.
func TestVerifyOfAPipeWithoutAWriterEnds(t *testing.T) {
	pipe := namedPipe(t)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
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
