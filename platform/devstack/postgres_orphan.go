//go:build unix

package devstack

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// evictOrphan makes the way free for a new server. We hold the folder's lock, so a server that still
// runs in it has lost its process (and perhaps its watcher): it is ended. A postmaster.pid without
// such a server is removed: its number may by now be any other process's, and the new server would
// take that for a running one.
func (c *cluster) evictOrphan(ctx context.Context) error {
	pidFile := filepath.Join(c.data, "postmaster.pid")
	content, err := os.ReadFile(pidFile)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("data folder: %w", err)
	}
	first, _, _ := bytes.Cut(content, []byte("\n"))
	pid, err := strconv.Atoi(string(first))
	if err == nil && pid > 1 && servesFrom(ctx, pid, c.data) {
		if err := endOrphan(ctx, pid, c.data); err != nil {
			return err
		}
	}
	if err := os.Remove(pidFile); err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("data folder: %w", err)
	}
	return nil
}

// endOrphan shuts a server down that is not our child, and waits until it has gone.
func endOrphan(ctx context.Context, pid int, data string) error {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	if err := syscall.Kill(pid, syscall.SIGINT); err != nil && !errors.Is(err, syscall.ESRCH) {
		return fmt.Errorf("a server (process %d) still runs on %s: %w", pid, data, err)
	}
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for servesFrom(ctx, pid, data) {
		select {
		case <-ctx.Done():
			return fmt.Errorf("a server (process %d) still runs on %s: %w", pid, data, ctx.Err())
		case <-tick.C:
		}
	}
	return nil
}

// servesFrom says whether process pid is a server on data. A server works in its data folder.
func servesFrom(ctx context.Context, pid int, data string) bool {
	if syscall.Kill(pid, 0) != nil {
		return false
	}
	if exists("/proc/self/cwd") {
		cwd, err := os.Readlink(fmt.Sprintf("/proc/%d/cwd", pid)) // an error: it has ended, or is no account of ours
		real, realErr := filepath.EvalSymlinks(data)
		return err == nil && realErr == nil && cwd == real
	}
	out, err := exec.CommandContext(ctx, "ps", "-o", "command=", "-p", strconv.Itoa(pid)).Output()
	return err == nil && strings.Contains(string(out), data)
}
