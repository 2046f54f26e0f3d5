package main

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

	"audittrail/bench/internal/benchingest"
	"audittrail/cmd/app"
)

// childVariable holds, as JSON, the options of the API that a process is to be instead of the benchmark. So the
// API's memory is its own, without that of what loads it.
const childVariable = "AUDITTRAIL_BENCH_API"

// servedAPI serves the API where this process was started to, until its standard input ends.
func servedAPI() (status int, is bool) {
	text, is := os.LookupEnv(childVariable)
	if !is {
		return 0, false
	}
	if err := beAPI([]byte(text)); err != nil {
		fmt.Fprintf(os.Stderr, "bench/query: API: %v\n", err)
		return 1, true
	}
	return 0, true
}

func beAPI(text []byte) (err error) {
	var o apiOptions
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
	return serveAPI(ctx, o, os.Stderr, nil, func(addr net.Addr) { fmt.Println(addr) })
}

// child is a running API.
type child struct {
	cmd   *exec.Cmd
	stdin io.Closer
	addr  string
}

// startAPI starts the API as a process of its own, whose log goes to a file.
func startAPI(ctx context.Context, o apiOptions, log *os.File) (*child, error) {
	text, err := json.Marshal(o)
	if err != nil {
		return nil, err
	}
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	c := &child{cmd: exec.CommandContext(ctx, self)}
	c.cmd.Env = append(os.Environ(), childVariable+"="+string(text))
	c.cmd.Stderr = log
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
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		return nil, errors.Join(fmt.Errorf("the API did not start: see --log: %w", err), c.stop())
	}
	c.addr = strings.TrimSpace(line)
	return c, nil
}

func (c *child) stop() error { return errors.Join(c.stdin.Close(), c.cmd.Wait()) }

// resetPeak begins to measure the peak of memory anew. Where that can't be, the peak is that of the API's life.
func (c *child) resetPeak() {
	_ = os.WriteFile("/proc/"+strconv.Itoa(c.cmd.Process.Pid)+"/clear_refs", []byte("5"), 0)
}

// peak is the most memory since then, in MiB.
func (c *child) peak() float64 {
	return float64(benchingest.PeakMemory(c.cmd.Process.Pid)) / (1 << 20)
}
