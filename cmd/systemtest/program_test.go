package systemtest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// program is a running process of audittrail.
type program struct {
	t      *testing.T
	name   string
	admin  string // address of its operators' port
	cmd    *exec.Cmd
	exited chan struct{}
	err    error // how it ended; to be read after exited
	log    string
}

// command prepares the program with arguments, and an environment without settings of ours.
func command(ctx context.Context, args ...string) *exec.Cmd {
	return commandOf(ctx, os.Args[0], args...)
}

// commandOf is command for another binary of the program.
func commandOf(ctx context.Context, binary string, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, binary, args...)
	for _, variable := range os.Environ() {
		if !strings.HasPrefix(variable, "AUDITTRAIL_") {
			cmd.Env = append(cmd.Env, variable)
		}
	}
	cmd.Env = append(cmd.Env, asProgram+"=1", "AUDITTRAIL_SHUTDOWN_DELAY=0s") // no load balancer is there to be waited for
	return cmd
}

// do runs a command of the program to its end and gives its standard output.
func do(t *testing.T, args ...string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	defer cancel()
	cmd := command(ctx, args...)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("audittrail %s: %v\n%s%s", args[0], err, out, tail(stderr.Bytes()))
	}
	return string(out)
}

// start runs a command of the program beside the test. It is killed with the test at the latest, and
// what it said is shown if the test failed.
func start(t *testing.T, name string, args ...string) *program {
	t.Helper()
	return startOf(t, os.Args[0], "", nil, name, args...)
}

// startIn is start in a folder, with more in the environment.
func startIn(t *testing.T, dir string, environment []string, name string, args ...string) *program {
	t.Helper()
	return startOf(t, os.Args[0], dir, environment, name, args...)
}

// startOf is startIn for another binary of the program.
func startOf(t *testing.T, binary, dir string, environment []string, name string, args ...string) *program {
	t.Helper()
	p := &program{
		t: t, name: name, admin: freeAddress(t), exited: make(chan struct{}),
		log: filepath.Join(t.TempDir(), name+".log"),
	}
	log, err := os.OpenFile(p.log, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	for slices.Contains(args, p.admin) { // a port that was free a moment ago is free again
		p.admin = freeAddress(t)
	}
	p.cmd = commandOf(context.Background(), binary, append(args, "--admin.addr", p.admin)...)
	p.cmd.Env, p.cmd.Dir = append(p.cmd.Env, environment...), dir
	p.cmd.Stdout, p.cmd.Stderr = log, log
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		p.err = p.cmd.Wait()
		close(p.exited)
	}()
	release := guard(t, p.cmd.Process.Pid)
	t.Cleanup(func() {
		p.kill()
		release()
		if t.Failed() {
			text, _ := os.ReadFile(p.log)
			t.Logf("%s (process %d) said:\n%s", name, p.cmd.Process.Pid, tail(text))
		}
	})
	return p
}

// guard kills the process when this one dies without having done so: a shell waits for the end of a
// pipe that this process holds open. The answer dismisses it.
func guard(t *testing.T, pid int) (release func()) {
	t.Helper()
	shell := exec.Command("sh", "-c", `trap '' INT TERM HUP; read -r _; kill -9 "$1"`, "sh", strconv.Itoa(pid))
	pipe, err := shell.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := shell.Start(); err != nil {
		t.Fatal(err)
	}
	return func() {
		_ = shell.Process.Kill() // before the pipe is closed
		_ = shell.Wait()
		_ = pipe.Close()
	}
}

// kill ends the process as a power cut would, and waits until it is gone.
func (p *program) kill() {
	_ = p.cmd.Process.Kill() // it may be gone
	<-p.exited
}

// stop asks the process to end, which must be in order and in time.
func (p *program) stop() {
	p.t.Helper()
	p.signal(syscall.SIGTERM)
	select {
	case <-p.exited:
		if p.err != nil {
			p.t.Errorf("%s: after SIGTERM: %v", p.name, p.err)
		}
	case <-time.After(45 * time.Second):
		p.t.Errorf("%s did not stop", p.name)
		p.kill()
	}
}

func (p *program) signal(sig os.Signal) {
	p.t.Helper()
	if err := p.cmd.Process.Signal(sig); err != nil {
		p.t.Fatalf("%s: %v", p.name, err)
	}
}

// alive fails the test if the process has ended by itself.
func (p *program) alive() {
	p.t.Helper()
	select {
	case <-p.exited:
		p.t.Fatalf("%s ended by itself: %v", p.name, p.err)
	default:
	}
}

// ready asks the operators' port; an answer that is not 200 is an error with its text.
func (p *program) ready(ctx context.Context) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+p.admin+"/readyz", nil)
	if err != nil {
		return err
	}
	response, err := (&http.Client{Timeout: 10 * time.Second}).Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if response.StatusCode != http.StatusOK {
		return errors.Join(fmt.Errorf("%s: %s", response.Status, body), err)
	}
	return err
}

// says waits until the process has logged a text.
func (p *program) says(text string, within time.Duration) {
	p.t.Helper()
	eventually(p.t, within, fmt.Sprintf("%s says %q", p.name, text), func(context.Context) error {
		log, err := os.ReadFile(p.log)
		if err == nil && !bytes.Contains(log, []byte(text)) {
			err = errors.New("it has not said so yet")
		}
		return err
	})
}

// peakMemory is the most resident memory that the process has had, in bytes; 0 where the system does
// not tell.
func (p *program) peakMemory() int64 {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.cmd.Process.Pid))
	if err != nil {
		return 0
	}
	for line := range strings.Lines(string(text)) {
		if value, found := strings.CutPrefix(line, "VmHWM:"); found {
			kilobytes, err := strconv.ParseInt(strings.TrimSuffix(strings.TrimSpace(value), " kB"), 10, 64)
			if err != nil {
				p.t.Fatalf("VmHWM: %v", err)
			}
			return kilobytes << 10
		}
	}
	return 0
}

func freeAddress(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// tail is the end of a long text.
func tail(text []byte) []byte {
	const most = 8000
	return text[max(0, len(text)-most):]
}

// eventually asks until there is no error any more, and fails with the last one after a while.
func eventually(t *testing.T, within time.Duration, what string, ask func(ctx context.Context) error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), within)
	defer cancel()
	again := time.NewTicker(50 * time.Millisecond)
	defer again.Stop()
	var last error // that is not the end of the time itself
	for {
		err := ask(ctx)
		if err == nil {
			return
		}
		if ctx.Err() == nil || last == nil {
			last = err
		}
		select {
		case <-ctx.Done():
			t.Fatalf("%s: not within %s: %v", what, within, last)
		case <-again.C:
		}
	}
}
