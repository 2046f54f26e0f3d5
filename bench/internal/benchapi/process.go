package benchapi

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"runtime/pprof"
	"strconv"
	"strings"
	"time"

	"audittrail/bench/internal/benchingest"
	"audittrail/cmd/app"
	"audittrail/platform/devstack"
)

// childVariable holds, as JSON, the options of the API that a process is to be instead of the benchmark. So the
// API's memory is its own, without that of what loads it.
const childVariable = "AUDITTRAIL_BENCH_API"

// Served serves the API where this process was started to, until its standard input ends.
func Served() (status int, is bool) {
	text, is := os.LookupEnv(childVariable)
	if !is {
		return 0, false
	}
	if err := beAPI([]byte(text)); err != nil {
		fmt.Fprintf(os.Stderr, "the API: %v\n", err)
		return 1, true
	}
	return 0, true
}

func beAPI(text []byte) (err error) {
	var o Options
	if err := json.Unmarshal(text, &o); err != nil {
		return err
	}
	if o.Profile != "" {
		f, err := os.Create(o.Profile)
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, f.Close()) }()
		if err := pprof.StartCPUProfile(f); err != nil {
			return err
		}
		defer pprof.StopCPUProfile()
	}
	defer app.ReserveForAPI()()
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	go func() { // ends with the process
		_, _ = io.Copy(io.Discard, os.Stdin) // however it ends
		cancel()
	}()
	return Serve(ctx, o, os.Stderr, nil, func(addr net.Addr) { fmt.Println(addr) })
}

// Process is a running API.
type Process struct {
	Addr  string
	PID   int // 0 where nobody wants to know what it uses
	cmd   *exec.Cmd
	stdin io.Closer
}

// Stand is what APIs are started with.
type Stand struct {
	Dir    string   // temporary
	Tokens []string // of two callers, who may do everything: of some answers each caller gets one at a time
	keys   *devstack.Keys
	log    *os.File
}

// NewStand makes keys, and tokens. What the APIs say goes to the file.
func NewStand(log string) (s *Stand, err error) {
	s = &Stand{}
	defer func() {
		if err != nil {
			err = errors.Join(err, s.Close())
		}
	}()
	if s.Dir, err = os.MkdirTemp("", "audittrail-bench-"); err != nil {
		return s, err
	}
	if s.log, err = os.Create(log); err != nil {
		return s, err
	}
	if s.keys, err = devstack.OpenKeys(s.Dir); err != nil {
		return s, err
	}
	for _, caller := range []string{"bench", "bench-too"} {
		token, err := s.keys.Mint(time.Now(), devstack.TokenOptions{
			Issuer: issuer, Audience: audience, Subject: caller, Roles: []string{"admin"}, RolesClaim: "roles", Lifetime: 24 * time.Hour,
		})
		if err != nil {
			return s, err
		}
		s.Tokens = append(s.Tokens, token)
	}
	return s, nil
}

// Close removes what it has made. The APIs are stopped before.
func (s *Stand) Close() (err error) {
	if s.log != nil {
		err = s.log.Close()
	}
	return errors.Join(err, os.RemoveAll(s.Dir))
}

// JWKSFile has the key of the tokens.
func (s *Stand) JWKSFile() string { return s.keys.JWKSFile() }

// Auth is how a whole program is told to take the tokens.
func (s *Stand) Auth() []string {
	return []string{"--auth.issuer", issuer, "--auth.audience", audience, "--auth.jwks_file", s.JWKSFile()}
}

// Start starts the API as a process of its own.
func (s *Stand) Start(ctx context.Context, o Options) (*Process, error) {
	o.JWKSFile = s.JWKSFile()
	text, err := json.Marshal(o)
	if err != nil {
		return nil, err
	}
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	c := &Process{cmd: exec.CommandContext(ctx, self)}
	c.cmd.Env = append(os.Environ(), childVariable+"="+string(text))
	c.cmd.Stderr = s.log
	if c.stdin, err = c.cmd.StdinPipe(); err != nil {
		return nil, err
	}
	out, err := c.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := c.cmd.Start(); err != nil {
		return nil, err
	}
	c.PID = c.cmd.Process.Pid
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		return nil, errors.Join(fmt.Errorf("the API did not start: see --log: %w", err), c.Stop())
	}
	c.Addr = strings.TrimSpace(line)
	return c, nil
}

// Stop ends it in order.
func (c *Process) Stop() error { return errors.Join(c.stdin.Close(), c.cmd.Wait()) }

// ResetPeak begins to measure the peak of memory anew. Where that can't be, the peak is that of the API's life.
func (c *Process) ResetPeak() {
	_ = os.WriteFile("/proc/"+strconv.Itoa(c.PID)+"/clear_refs", []byte("5"), 0)
}

// Peak is the most memory since then, in MiB.
func (c *Process) Peak() float64 {
	return float64(benchingest.PeakMemory(c.PID)) / (1 << 20)
}
