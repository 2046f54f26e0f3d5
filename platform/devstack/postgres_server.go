//go:build unix

package devstack

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"time"
)

// errPortTaken says that another process was faster.
var errPortTaken = errors.New("the port is taken")

// stopMode is one of the postmaster's shutdown signals.
type stopMode syscall.Signal

const (
	stopFast      = stopMode(syscall.SIGINT)  // cut sessions, checkpoint
	stopImmediate = stopMode(syscall.SIGQUIT) // cut everything; the next start recovers
)

// server is a running postmaster.
type server struct {
	cmd     *exec.Cmd
	log     string
	exited  chan struct{} // closed after err is set
	waitErr error
}

// startServer starts the process; it is not ready yet.
func startServer(b binaries, o owner, c *cluster, args []string) (*server, error) {
	log, err := os.OpenFile(c.logFile(), os.O_CREATE|os.O_TRUNC|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, fmt.Errorf("server log: %w", err)
	}
	defer log.Close() // the server has a descriptor of its own
	remove := ""
	if c.temporary {
		remove = c.home
	}
	// No context: it is stopped by its owner in the way that keeps its data, never killed.
	cmd := o.supervised(context.Background(), c.data, remove, b.path("postgres"), args...)
	cmd.Stdout, cmd.Stderr = log, log
	dismiss, err := startSupervised(cmd)
	if err != nil {
		return nil, fmt.Errorf("run %s as %s: %w", b.path("postgres"), o.name, err)
	}
	s := &server{cmd: cmd, log: c.logFile(), exited: make(chan struct{})}
	go func() {
		s.waitErr = cmd.Wait()
		dismiss()
		close(s.exited)
	}()
	return s, nil
}

// stop ends the server and waits for that; harder when ctx ends first.
func (s *server) stop(ctx context.Context, mode stopMode) error {
	if err := s.signal(syscall.Signal(mode)); err != nil {
		return err
	}
	select {
	case <-s.exited:
		return nil
	case <-ctx.Done():
	}
	for _, harder := range []syscall.Signal{syscall.SIGQUIT, syscall.SIGKILL} {
		if err := s.signal(harder); err != nil {
			return err
		}
		select {
		case <-s.exited:
			return nil
		case <-time.After(6 * time.Second): // the postmaster itself kills what has not gone after 5
		}
	}
	return errors.New("the server does not end")
}

func (s *server) signal(sig syscall.Signal) error {
	if err := s.cmd.Process.Signal(sig); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return err
	}
	return nil
}

// failure is why the server ended by itself. To be called after exited is closed.
func (s *server) failure() error {
	reason := s.lastLog()
	if strings.Contains(reason, "TCP/IP socket") || strings.Contains(reason, "Address already in use") {
		return fmt.Errorf("%w: %s", errPortTaken, reason)
	}
	if s.waitErr == nil {
		return fmt.Errorf("the server ended: %s", reason)
	}
	return fmt.Errorf("the server ended: %w: %s", s.waitErr, reason)
}

// ending is why the server ended by itself after it had been up. To be called after exited is closed.
func (s *server) ending() error {
	end, err := logEnd(s.log)
	if err != nil {
		return fmt.Errorf("no log: %w", err)
	}
	if s.waitErr == nil {
		return errors.New(endingLine(end))
	}
	return fmt.Errorf("%w: %s", s.waitErr, endingLine(end))
}

// logEnd is what a log says last. The log of a long run may be large, and what sessions did hours ago is
// no cause.
func logEnd(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close() // read only
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	start := max(0, info.Size()-logEndBytes)
	end, err := io.ReadAll(io.NewSectionReader(f, start, logEndBytes))
	if _, whole, found := bytes.Cut(end, []byte("\n")); start > 0 && found {
		end = whole
	}
	return end, err
}

// logEndBytes holds the some twenty lines that a server writes while it goes down.
const logEndBytes = 4 << 10

// endingLine is the line that tells why a server went down: it was told to, a process of it crashed, or
// it could not go on.
func endingLine(log []byte) string {
	lines := strings.Split(string(log), "\n")
	for i := len(lines) - 1; i >= 0; i-- {
		for _, sign := range []string{"shutdown request", "PANIC:", "was terminated by signal"} {
			if strings.Contains(lines[i], sign) {
				return strings.TrimSpace(lines[i])
			}
		}
	}
	return fatalLine(log)
}

// lastLog is why the server ended, as its log tells.
func (s *server) lastLog() string {
	out, err := os.ReadFile(s.log)
	if err != nil {
		return "no log: " + err.Error()
	}
	return fatalLine(out)
}

// fatalLine is the last line of a server's log that tells of the server's own end, else the last one. A
// session that is refused or cut while the server comes up or goes down is FATAL for its client only:
// our own waiting for the server leaves many of them behind the line that says what went wrong.
func fatalLine(log []byte) string {
	lines := strings.Split(string(log), "\n")
	for i := len(lines) - 1; i >= 0; i-- {
		_, what, fatal := strings.Cut(lines[i], "FATAL:")
		if !fatal && !strings.Contains(lines[i], "PANIC:") {
			continue
		}
		what = strings.TrimSpace(what)
		if strings.HasPrefix(what, "the database system is ") || strings.HasPrefix(what, "terminating connection ") {
			continue
		}
		return strings.TrimSpace(lines[i])
	}
	return lastLine(log)
}
