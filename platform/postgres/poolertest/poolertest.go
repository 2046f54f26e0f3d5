// Package poolertest runs PgBouncer for a test.
package poolertest

import (
	"fmt"
	"net"
	"net/url"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// Ignored is what must be in ignore_startup_parameters; OPERATIONS has the same line.
const Ignored = "role,search_path,lock_timeout,statement_timeout,idle_in_transaction_session_timeout,tcp_keepalives_idle,tcp_keepalives_interval," +
	"tcp_keepalives_count,tcp_user_timeout,jit,max_parallel_workers_per_gather,synchronous_commit,default_transaction_read_only,array_nulls,bytea_output," +
	"default_transaction_isolation,extra_float_digits,intervalstyle,row_security,transform_null_equals"

// Start puts PgBouncer in front of a server, with the settings given. It returns the URL by which to go through it.
func Start(t testing.TB, serverURL string, settings map[string]string) string {
	t.Helper()
	program, err := exec.LookPath("pgbouncer")
	if err != nil {
		program = "/usr/sbin/pgbouncer"
	}
	if _, err := os.Stat(program); err != nil {
		require.Empty(t, os.Getenv("CI"), "CI must have PgBouncer")
		t.Skip("there is no PgBouncer here")
	}
	u, err := url.Parse(serverURL)
	require.NoError(t, err)
	password, _ := u.User.Password()
	dir, err := os.MkdirTemp("", "pgbouncer")
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, os.RemoveAll(dir)) })
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	address := listener.Addr().String()
	require.NoError(t, listener.Close())
	_, port, err := net.SplitHostPort(address)
	require.NoError(t, err)
	ini := fmt.Sprintf("[databases]\n* = host=%s port=%s user=%s password=%s\n[pgbouncer]\nlisten_addr=127.0.0.1\nlisten_port=%s\nauth_type=any\nunix_socket_dir=\n",
		u.Hostname(), u.Port(), u.User.Username(), password, port)
	for name, value := range settings {
		ini += name + "=" + value + "\n"
	}
	file := filepath.Join(dir, "pgbouncer.ini")
	require.NoError(t, os.WriteFile(file, []byte(ini), 0o644))
	require.NoError(t, os.Chmod(dir, 0o755))
	cmd := exec.Command(program, "-q", file)
	if os.Getuid() == 0 { // which it refuses to run as
		nobody, err := user.Lookup("nobody")
		require.NoError(t, err)
		uid, err := strconv.Atoi(nobody.Uid)
		require.NoError(t, err)
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uint32(uid), Gid: uint32(uid)}}
	}
	require.NoError(t, cmd.Start())
	t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
	require.Eventually(t, func() bool {
		conn, err := net.Dial("tcp", address)
		if err == nil {
			_ = conn.Close()
		}
		return err == nil
	}, 20*time.Second, 20*time.Millisecond)
	u.Host = address
	q := u.Query()
	q.Set("sslmode", "disable")
	u.RawQuery = q.Encode()
	return u.String()
}
