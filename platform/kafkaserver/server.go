// Package kafkaserver runs a real Apache Kafka as a child process: one KRaft node out of a folder of
// jars, with plain, TLS and SASL listeners on loopback, which can be killed, paused and started again
// over the same data. It is for tests and benchmarks (see kafkatest); the broker that `audittrail dev`
// embeds is in platform/devstack. It knows nothing of events.
package kafkaserver

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"
)

// Options says what to run and where.
type Options struct {
	Libs string // folder that holds the jars of Kafka and of a logging backend
	Dir  string // new or empty folder for data, configuration, certificates and the log
	Java string // path of the Java runtime; "java" from PATH if empty
}

// Server is one broker. Its methods are for one goroutine at a time.
type Server struct {
	Endpoints

	opts     Options
	dir      string
	running  *exec.Cmd
	exited   chan struct{} // closed when running has ended
	watchdog *watchdog
}

// Endpoints are where and how a client reaches a broker. Addresses are host:port and stay the same
// when the server is started again.
type Endpoints struct {
	Plain    string // neither TLS nor credentials
	TLS      string // TLS with a client certificate
	SASL     string // TLS with SCRAM-SHA-256, SCRAM-SHA-512 or PLAIN
	User     string // of the SASL listener
	Password string // of the SASL listener
	CA       string // file: the certificate that signed the broker's and the client's
	Cert     string // file: a client certificate for the TLS listener
	Key      string // file: its key, PKCS#8
}

// user is the one that format puts into the cluster's metadata.
const user = "audittrail"

// New writes the configuration and formats the storage; Start then runs the broker. It takes about a
// second. The folder is the caller's to remove, after Stop or Kill.
func New(ctx context.Context, opts Options) (*Server, error) {
	if opts.Java == "" {
		opts.Java = "java"
	}
	dir, err := filepath.Abs(opts.Dir)
	if err != nil {
		return nil, fmt.Errorf("folder of the broker: %w", err)
	}
	s := &Server{opts: opts, dir: dir}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("folder of the broker: %w", err)
	}
	if err := s.configure(); err != nil {
		return nil, err
	}
	if err := s.format(ctx); err != nil {
		return nil, err
	}
	return s, nil
}

// Start runs the broker and waits until it serves every partition that it has. The data of earlier
// runs are kept.
func (s *Server) Start(ctx context.Context) error {
	if s.running != nil {
		return errors.New("kafka is running already")
	}
	log, err := os.OpenFile(s.logPath(), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return fmt.Errorf("log of the broker: %w", err)
	}
	defer log.Close() // the child has its own copy
	cmd := s.java("-Xms256m", "-Xmx512m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1",
		"-Dlog4j2.configurationFile="+s.path(loggingFile), "-cp", filepath.Join(s.opts.Libs, "*"),
		"kafka.Kafka", s.path(configFile))
	cmd.Stdout, cmd.Stderr = log, log
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("start kafka: %w", err)
	}
	exited := make(chan struct{})
	go func() { // ends with the process, which Stop and Kill wait for
		_ = cmd.Wait() // how it ended is in the log
		close(exited)
	}()
	s.running, s.exited = cmd, exited
	if s.watchdog, err = watch(cmd.Process.Pid, s.dir); err != nil {
		return errors.Join(err, s.Kill())
	}
	if err := s.waitReady(ctx); err != nil {
		return errors.Join(fmt.Errorf("start kafka: %w\n%s", err, s.logTail()), s.Kill())
	}
	return nil
}

// stopPatience is how long a broker may take to put its logs down before it is killed.
const stopPatience = 30 * time.Second

// Stop ends the broker in order: logs are flushed and partitions handed back. It does nothing where
// none runs.
func (s *Server) Stop() error {
	if s.running == nil {
		return nil
	}
	if err := s.Signal(syscall.SIGTERM); err != nil {
		return errors.Join(err, s.Kill())
	}
	late := time.NewTimer(stopPatience)
	defer late.Stop()
	select {
	case <-s.exited:
		return s.Kill()
	case <-late.C:
		return errors.Join(fmt.Errorf("kafka did not stop within %s and was killed", stopPatience), s.Kill())
	}
}

// Kill ends the broker at once, as a power cut would, and waits until it is gone. It does nothing
// where none runs.
func (s *Server) Kill() error {
	if s.running == nil {
		return nil
	}
	err := s.running.Process.Kill()
	if errors.Is(err, os.ErrProcessDone) {
		err = nil
	}
	<-s.exited
	s.watchdog.dismiss()
	s.running, s.watchdog = nil, nil
	return err
}

// Signal sends the broker a signal: SIGSTOP and SIGCONT make it hang and go on.
func (s *Server) Signal(sig os.Signal) error {
	if s.running == nil {
		return errors.New("kafka is not running")
	}
	if err := s.running.Process.Signal(sig); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("signal kafka: %w", err)
	}
	return nil
}

// PID is the process id of the running broker, 0 where none runs.
func (s *Server) PID() int {
	if s.running == nil {
		return 0
	}
	return s.running.Process.Pid
}
