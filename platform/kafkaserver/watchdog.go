package kafkaserver

import (
	"fmt"
	"io"
	"os/exec"
	"strconv"
)

// watchdog ends a broker whose parent died without ending it (a panic, a test's time-out, kill -9):
// a shell that waits for the end of its standard input, which comes when the last holder of the
// pipe's other end, this process, is gone. Signals that are meant for the whole process group, as from a
// terminal, leave it to its work.
type watchdog struct {
	cmd  *exec.Cmd
	pipe io.Closer
}

func watch(pid int, dir string) (*watchdog, error) {
	cmd := exec.Command("sh", "-c", `trap '' INT TERM HUP; read -r _; kill -9 "$1"; rm -rf "$2"`, "sh", strconv.Itoa(pid), dir)
	pipe, err := cmd.StdinPipe()
	if err != nil {
		return nil, fmt.Errorf("watchdog of kafka: %w", err)
	}
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("watchdog of kafka: %w", err)
	}
	return &watchdog{cmd: cmd, pipe: pipe}, nil
}

// dismiss ends the watchdog without letting it bite. A nil one is fine.
func (w *watchdog) dismiss() {
	if w == nil {
		return
	}
	_ = w.cmd.Process.Kill() // before the pipe is closed
	_ = w.cmd.Wait()         // killed: never nil
	_ = w.pipe.Close()       // Wait has closed it where it could
}
