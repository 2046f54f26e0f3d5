package cmd

import (
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"
)

// Nothing is started, or written, for an address that can't be had.
func TestDevFindsABusyPortBeforeItStartsAnything(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer taken.Close()
	for _, key := range []string{"http.addr", "admin.addr"} {
		dir := dataFolder(t)
		_, errs, code := call(t, devArgs(dir, "--no-sample", "--"+key, taken.Addr().String())...)
		require.Equal(t, 1, code, errs)
		require.Contains(t, errs, key+": ")
		require.Contains(t, errs, "address already in use")
		require.NoDirExists(t, filepath.Join(dir, "postgres"))
		require.NoDirExists(t, filepath.Join(dir, "kafka"))
	}
	free, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	require.NoError(t, free.Close())
	dir := dataFolder(t)
	_, errs, code := call(t, devArgs(dir, "--http.addr", free.Addr().String(), "--admin.addr", free.Addr().String())...)
	require.Equal(t, 1, code, errs)
	require.Contains(t, errs, "http.addr: ", "one port for two")
}

// A database that ends by itself ends the run, with its reason; and a folder that lacks a part is refused
// before anything is made in its place.
func TestDevTellsWhatItCanNotGoOnWithout(t *testing.T) {
	t.Parallel()
	dir := dataFolder(t)
	p := start(t, devArgs(dir, "--no-sample")...)
	p.until(t, apiLine)
	files, err := filepath.Glob(filepath.Join(dir, "postgres", "*", "postmaster.pid"))
	require.NoError(t, err)
	if len(files) == 0 {
		files = []string{filepath.Join(dir, "postgres", "postmaster.pid")}
	}
	text, err := os.ReadFile(files[0])
	require.NoError(t, err)
	first, _, _ := strings.Cut(string(text), "\n")
	pid, err := strconv.Atoi(first)
	require.NoError(t, err)
	postmaster, err := os.FindProcess(pid)
	require.NoError(t, err)
	require.NoError(t, postmaster.Signal(syscall.SIGQUIT))
	for p.out.Scan() {
	}
	_ = p.Wait()
	require.Equal(t, 1, p.ProcessState.ExitCode())
	require.Contains(t, p.stderr.String(), "PostgreSQL has ended by itself")
	require.Contains(t, p.stderr.String(), "received immediate shutdown request")
	requireNothingLeft(t, dir)

	for _, part := range []string{"kafka", "postgres"} {
		require.NoError(t, os.Rename(filepath.Join(dir, part), filepath.Join(dir, "away")))
		_, errs, code := call(t, devArgs(dir, "--no-sample")...)
		require.Equal(t, 1, code, errs)
		require.Contains(t, errs, part+" was deleted")
		require.Contains(t, errs, "--fresh")
		require.NoDirExists(t, filepath.Join(dir, part))
		require.NoError(t, os.Rename(filepath.Join(dir, "away"), filepath.Join(dir, part)))
	}
	require.NoError(t, os.RemoveAll(filepath.Join(dir, "kafka")))
	p = start(t, devArgs(dir, "--no-sample", "--fresh")...)
	p.until(t, apiLine)
	require.Equal(t, 0, p.end(t, os.Interrupt), p.stderr.String())
}
