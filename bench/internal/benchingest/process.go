package benchingest

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5"
)

// Process is a running `audittrail serve`.
type Process struct {
	Admin   string // address of its operators' port
	PID     int
	cmd     *exec.Cmd
	exited  chan struct{}
	failure error // how it ended; to be read after exited
}

// Serve starts the program. What args don't set are the defaults: they are what is measured. It does not wait.
func (s *Stage) Serve(ctx context.Context, program string, env []string, args ...string) (*Process, error) {
	admin, err := FreeAddress(ctx)
	if err != nil {
		return nil, err
	}
	p := &Process{Admin: admin, exited: make(chan struct{})}
	p.cmd = exec.CommandContext(ctx, program, append([]string{"serve", "--admin.addr", admin, "--log.level", "warn"}, args...)...)
	p.cmd.Stdout, p.cmd.Stderr = s.log, s.log
	p.cmd.Dir = s.Dir
	p.cmd.Env = append(os.Environ(), env...)
	if err := p.cmd.Start(); err != nil {
		return nil, err
	}
	p.PID = p.cmd.Process.Pid
	go func() { // ends with the process, which Stop waits for
		p.failure = p.cmd.Wait()
		close(p.exited)
	}()
	return p, nil
}

// Ready waits until every role of the process can do its work.
func (p *Process) Ready(ctx context.Context) error {
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	return p.await(ctx, 5*time.Minute, 2*time.Millisecond, func() (bool, error) {
		request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+p.Admin+"/readyz", nil)
		if err != nil {
			return false, err
		}
		answer, err := client.Do(request)
		if err != nil { // it does not listen yet
			return false, ctx.Err()
		}
		return answer.StatusCode == http.StatusOK, answer.Body.Close()
	})
}

// Await asks the database until the answer is want or more, or the process has ended.
func (p *Process) Await(ctx context.Context, conn *pgx.Conn, want int64, most, every time.Duration, question string, args ...any) error {
	var got int64
	err := p.await(ctx, most, every, func() (bool, error) {
		err := conn.QueryRow(ctx, question, args...).Scan(&got)
		return got >= want, err
	})
	if err != nil {
		return fmt.Errorf("at %d of %d: %w", got, want, err)
	}
	return nil
}

// await asks until the answer is yes, or the process has ended.
func (p *Process) await(ctx context.Context, most, every time.Duration, ask func() (bool, error)) error {
	ctx, cancel := context.WithTimeoutCause(ctx, most, errors.New("it takes too long"))
	defer cancel()
	again := time.NewTicker(every)
	defer again.Stop()
	for {
		if yes, err := ask(); yes || err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-p.exited:
			return fmt.Errorf("the process ended: %w", p.failure)
		case <-again.C:
		}
	}
}

// Stop ends it in order; that it takes its time or fails is a finding.
func (p *Process) Stop() error {
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

// FreeAddress is one of this machine where nobody listens.
func FreeAddress(ctx context.Context) (string, error) {
	l, err := new(net.ListenConfig).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	return l.Addr().String(), l.Close()
}
