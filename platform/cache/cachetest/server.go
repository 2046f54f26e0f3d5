// Package cachetest runs a redis-server for a test.
package cachetest

import (
	"net"
	"os"
	"os/exec"
	"syscall"
	"testing"
	"time"

	"github.com/redis/rueidis"
	"github.com/stretchr/testify/require"
)

// Server is a redis-server that a test has for itself.
type Server struct {
	Port    string
	command *exec.Cmd
}

// Start starts one that keeps nothing on disk; on a free port where port is "". The test is skipped where there is no
// redis-server, but not in CI.
func Start(t testing.TB, port string, args ...string) *Server {
	t.Helper()
	if _, err := exec.LookPath("redis-server"); err != nil {
		require.Empty(t, os.Getenv("CI"), "CI must have redis-server")
		t.Skip("there is no redis-server here")
	}
	if port == "" {
		port = freePort(t)
	}
	s := &Server{Port: port, command: exec.Command("redis-server", append([]string{"--port", port, "--bind", "127.0.0.1", "--save", "", "--dir", t.TempDir()}, args...)...)}
	require.NoError(t, s.command.Start())
	t.Cleanup(s.Kill)
	return s
}

// StartTLS starts one that speaks TLS alone, by the files of a certificate and its key.
func StartTLS(t testing.TB, cert, key string, args ...string) *Server {
	t.Helper()
	port := freePort(t)
	byTLS := []string{"--port", "0", "--tls-port", port, "--tls-cert-file", cert, "--tls-key-file", key, "--tls-ca-cert-file", cert, "--tls-auth-clients", "no"}
	return Start(t, port, append(byTLS, args...)...)
}

func freePort(t testing.TB) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	_, port, err := net.SplitHostPort(l.Addr().String())
	require.NoError(t, err)
	require.NoError(t, l.Close())
	return port
}

// Kill ends it as a power cut would.
func (s *Server) Kill() {
	_ = s.command.Process.Kill()
	_ = s.command.Wait()
}

// PID is its process.
func (s *Server) PID() int { return s.command.Process.Pid }

// Freeze has it answer nothing, while the kernel still takes what is sent.
func (s *Server) Freeze(t testing.TB) {
	t.Helper()
	require.NoError(t, s.command.Process.Signal(syscall.SIGSTOP))
}

// Thaw has it go on.
func (s *Server) Thaw(t testing.TB) {
	t.Helper()
	require.NoError(t, s.command.Process.Signal(syscall.SIGCONT))
}

// Admin is a connection that does what nobody of ours does. login is "" or "user:password@".
func (s *Server) Admin(t testing.TB, login string) rueidis.Client {
	t.Helper()
	var client rueidis.Client
	require.Eventually(t, func() bool {
		option, err := rueidis.ParseURL("redis://" + login + "127.0.0.1:" + s.Port)
		if err != nil {
			return false
		}
		client, err = rueidis.NewClient(option)
		return err == nil
	}, time.Minute, 20*time.Millisecond)
	t.Cleanup(client.Close)
	return client
}
