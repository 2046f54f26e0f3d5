package postgres_test

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

	"audittrail/platform/postgres"
)

// pgbouncer puts PgBouncer in front of a server, which ignores the start-up parameters given. It returns the
// URL by which to go through it.
func pgbouncer(t *testing.T, serverURL, ignored string) string {
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
	ini := fmt.Sprintf("[databases]\n* = host=%s port=%s user=%s password=%s\n[pgbouncer]\nlisten_addr=127.0.0.1\nlisten_port=%s\nauth_type=any\npool_mode=session\nunix_socket_dir=\nignore_startup_parameters=%s\n",
		u.Hostname(), u.Port(), u.User.Username(), password, port, ignored)
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

// A pooler that drops start-up parameters leaves the connection without its role and limits, and says nothing.
func TestAConnectionThatLacksWhatWasAskedForIsRefused(t *testing.T) {
	s := server(t)
	direct := s.URL("postgres")
	execute(t, direct, "CREATE ROLE audittrail_api")
	opts := postgres.PoolOptions{Name: "api", Role: "audittrail_api", StatementTimeout: 10 * time.Second, Parameters: map[string]string{"jit": "off"}}

	opts.URL = direct
	require.Equal(t, "audittrail_api", show(t, open(t, opts), "SELECT current_user"))

	const all = "role,search_path,lock_timeout,statement_timeout,idle_in_transaction_session_timeout,tcp_keepalives_idle,tcp_keepalives_interval," +
		"tcp_keepalives_count,tcp_user_timeout,jit,array_nulls,bytea_output,default_transaction_isolation,extra_float_digits,intervalstyle,row_security,transform_null_equals"
	opts.URL = pgbouncer(t, direct, all)
	_, err := open(t, opts).Exec(t.Context(), "SELECT 1")
	require.Error(t, err)
	refused := postgres.Refused(err)
	require.NotNil(t, refused, "%v", err)
	require.Equal(t, "connection_settings", refused.Code)
	require.Contains(t, refused.Detail, "PgBouncer")

	_, err = postgres.Connect(t.Context(), opts)
	require.Error(t, err, "a connection that is no pool's")
	require.Equal(t, "connection_settings", postgres.Refused(err).Code)

	opts.Role = "" // the login is right then, but not its limits
	_, err = open(t, opts).Exec(t.Context(), "SELECT 1")
	require.Error(t, err)
	require.Equal(t, "connection_settings", postgres.Refused(err).Code)

	opts.URL = pgbouncer(t, direct, "")
	_, err = open(t, opts).Exec(t.Context(), "SELECT 1")
	require.Error(t, err)
	refused = postgres.Refused(err)
	require.NotNil(t, refused, "%v", err)
	require.Equal(t, "connection_settings", refused.Code)
}

func TestALoginWithoutTheRoleIsToldOfTheGrant(t *testing.T) {
	s := server(t)
	direct := s.URL("postgres")
	execute(t, direct, "CREATE ROLE audittrail_api", "CREATE ROLE app LOGIN PASSWORD 'app'")
	u, err := url.Parse(direct)
	require.NoError(t, err)
	u.User = url.UserPassword("app", "app")
	for role, code := range map[string]string{"audittrail_api": "role_not_granted", "audittrail_ingest": "role_missing"} {
		_, err = open(t, postgres.PoolOptions{URL: u.String(), Name: "api", Role: role}).Exec(t.Context(), "SELECT 1")
		require.Error(t, err)
		refused := postgres.Refused(err)
		require.NotNil(t, refused, "%v", err)
		require.Equal(t, code, refused.Code)
		require.Contains(t, refused.Detail, role)
		require.Contains(t, refused.Detail, "audittrail migrate")
	}
}

func TestAReplicationRoleThatSilencesTriggersIsRefused(t *testing.T) {
	s := server(t)
	direct := s.URL("postgres")
	execute(t, direct, "ALTER ROLE postgres SET session_replication_role = replica")
	_, err := open(t, postgres.PoolOptions{URL: direct, Name: "ingest"}).Exec(t.Context(), "SELECT 1")
	require.ErrorContains(t, err, "session_replication_role")
}

// A password that rotates is read again for each new connection.
func TestARotatedPasswordIsTaken(t *testing.T) {
	s := server(t)
	direct := s.URL("postgres")
	execute(t, direct, "CREATE ROLE app LOGIN PASSWORD 'first'")
	with := func(password string) string {
		u, err := url.Parse(direct)
		require.NoError(t, err)
		u.User = url.UserPassword("app", password)
		return u.String()
	}
	now := with("wrong")
	pool := open(t, postgres.PoolOptions{URL: with("wrong"), Name: "rotated", Fresh: func() string { return now }})
	require.Error(t, pool.Ping(t.Context()))
	now = with("first")
	require.NoError(t, pool.Ping(t.Context()))
	execute(t, direct, "ALTER ROLE app PASSWORD 'second'")
	now = with("second")
	pool.Reset()
	require.NoError(t, pool.Ping(t.Context()))
}
