package benchingest

import (
	"context"
	"errors"
	"net"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// process is a running `audittrail serve`.
type process struct {
	cmd     *exec.Cmd
	admin   string // address of its operators' port
	exited  chan struct{}
	failure error // how it ended; to be read after exited
}

// serve starts the program on one topic. Its settings are the defaults: they are what is measured.
func (s *Stage) serve(ctx context.Context, r Run) (*process, error) {
	admin, err := freeAddress(ctx)
	if err != nil {
		return nil, err
	}
	p := &process{admin: admin, exited: make(chan struct{})}
	p.cmd = exec.CommandContext(ctx, r.Program, "serve", "--roles", r.Roles, "--postgres.url", r.Database,
		"--kafka.brokers", strings.Join(s.Broker.brokers, ","), "--kafka.topics", r.Topic,
		"--kafka.group", "bench-"+strconv.Itoa(s.Server.Made), "--admin.addr", admin,
		"--admin.pprof="+strconv.FormatBool(r.Observe != nil), "--log.level", "warn")
	p.cmd.Stdout, p.cmd.Stderr = s.log, s.log
	p.cmd.Dir = s.Dir
	p.cmd.Env = append(os.Environ(), r.Env...)
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
