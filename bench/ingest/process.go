package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// build compiles the program under test as a release would be.
func build(ctx context.Context, dir string) (string, error) {
	progress("building")
	binary := filepath.Join(dir, "audittrail")
	cmd := exec.CommandContext(ctx, "go", "build", "-trimpath", "-o", binary, "audittrail")
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("go build: %w\n%s", err, out)
	}
	return binary, nil
}

// migrate lays down our tables in the database.
func (b *bench) migrate(ctx context.Context, url string) error {
	cmd := exec.CommandContext(ctx, b.binary, "migrate", "up", "--postgres.url", url)
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("migrate up: %w\n%s", err, out)
	}
	return nil
}

// process is a running `audittrail serve`.
type process struct {
	cmd     *exec.Cmd
	admin   string // address of its operators' port
	exited  chan struct{}
	failure error // how it ended; to be read after exited
}

// serve starts the program on one topic. Its settings are the defaults: they are what is measured.
func (b *bench) serve(ctx context.Context, url, topic string) (*process, error) {
	admin, err := freeAddress(ctx)
	if err != nil {
		return nil, err
	}
	p := &process{admin: admin, exited: make(chan struct{})}
	p.cmd = exec.CommandContext(ctx, b.binary, "serve", "--roles", b.opts.roles, "--postgres.url", url,
		"--kafka.brokers", strings.Join(b.kafka.brokers, ","), "--kafka.topics", topic,
		"--kafka.group", "bench-"+strconv.Itoa(b.postgres.Made), "--admin.addr", admin,
		"--admin.pprof="+strconv.FormatBool(b.opts.profile != ""), "--log.level", "warn")
	p.cmd.Stdout, p.cmd.Stderr = b.log, b.log
	p.cmd.Dir = b.dir
	if err := p.cmd.Start(); err != nil {
		return nil, err
	}
	go func() { // ends with the process, which stop waits for
		p.failure = p.cmd.Wait()
		close(p.exited)
	}()
	return p, nil
}

func (p *process) pid() int { return p.cmd.Process.Pid }

// stop ends the process in order; that it takes its time or fails is a finding.
func (p *process) stop() error {
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		<-p.exited
		return errors.Join(errors.New("the process ended by itself"), p.failure)
	}
	late := time.NewTimer(time.Minute)
	defer late.Stop()
	select {
	case <-p.exited:
		return p.failure
	case <-late.C:
		_ = p.cmd.Process.Kill() // it may have ended this moment
		<-p.exited
		return errors.New("the process did not stop within a minute")
	}
}

func freeAddress(ctx context.Context) (string, error) {
	l, err := new(net.ListenConfig).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	return l.Addr().String(), l.Close()
}
