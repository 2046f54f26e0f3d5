package devstack

import (
	"bufio"
	"context"
	"net"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"
)

// openDir is a temporary folder that the server's account can enter, which t.TempDir is not for root.
func openDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp(temporaryFolders(true)[0], "devstack-test-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	return dir
}

func start(t *testing.T, opts PostgresOptions) *Postgres {
	t.Helper()
	opts.Fast = true
	p, err := StartPostgres(t.Context(), opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { stop(t, p) })
	return p
}

func stop(t *testing.T, p *Postgres) {
	t.Helper()
	if err := p.Stop(context.Background()); err != nil {
		t.Error(err)
	}
}

func query[T any](t *testing.T, p *Postgres, sql string) T {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), p.URL("postgres"))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(t.Context()) //nolint:errcheck // read only
	var v T
	if err := conn.QueryRow(t.Context(), sql).Scan(&v); err != nil {
		t.Fatal(err)
	}
	return v
}

func execute(t *testing.T, p *Postgres, sql string) {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), p.URL("postgres"))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(t.Context()) //nolint:errcheck // the answer is had
	if _, err := conn.Exec(t.Context(), sql); err != nil {
		t.Fatal(err)
	}
}

func eventually(t *testing.T, what string, done func() bool) {
	t.Helper()
	require.Eventually(t, done, time.Minute, 10*time.Millisecond, what)
}

func alive(pid int) bool { return syscall.Kill(pid, 0) == nil }

func postmasterPID(t *testing.T, data string) int {
	t.Helper()
	content, err := os.ReadFile(filepath.Join(data, "postmaster.pid"))
	if err != nil {
		t.Fatal(err)
	}
	first, _, _ := strings.Cut(string(content), "\n")
	pid, err := strconv.Atoi(first)
	if err != nil {
		t.Fatal(err)
	}
	return pid
}

func TestPostgresKeepsDataBetweenStarts(t *testing.T) {
	dir := filepath.Join(openDir(t), "made", "by", "start")
	p := start(t, PostgresOptions{DataDir: dir})
	execute(t, p, "CREATE TABLE kept AS SELECT 7 AS n")
	stop(t, p)
	again := start(t, PostgresOptions{DataDir: dir, Settings: map[string]string{"max_connections": "17"}})
	if n := query[int](t, again, "SELECT n FROM kept"); n != 7 {
		t.Errorf("kept: %d", n)
	}
	if n := query[string](t, again, "SHOW max_connections"); n != "17" {
		t.Errorf("max_connections: %s", n)
	}
}

func TestPostgresAsksForItsPassword(t *testing.T) {
	dir := openDir(t)
	p := start(t, PostgresOptions{DataDir: dir})
	u, err := url.Parse(p.URL("postgres"))
	if err != nil {
		t.Fatal(err)
	}
	u.User = url.UserPassword("postgres", "guessed")
	if _, err := pgx.Connect(t.Context(), u.String()); !isLoginRefused(err) {
		t.Errorf("login with a wrong password: %v", err)
	}
	info, err := os.Stat(filepath.Join(dir, "postgres.password"))
	if err != nil {
		t.Fatal(err)
	}
	if info.Mode().Perm() != 0o600 {
		t.Errorf("password file has mode %v", info.Mode())
	}
	if got := query[string](t, p, "SHOW listen_addresses"); got != "127.0.0.1" {
		t.Errorf("listens on %q", got)
	}
}

func TestPostgresTemporaryDataGoWithTheServer(t *testing.T) {
	p := start(t, PostgresOptions{})
	pid := postmasterPID(t, p.cluster.data)
	stop(t, p)
	if alive(pid) || exists(p.cluster.home) {
		t.Errorf("left behind: process %v, folder %v", alive(pid), exists(p.cluster.home))
	}
}

func TestPostgresComesBackOnItsPort(t *testing.T) {
	p := start(t, PostgresOptions{DataDir: openDir(t)})
	before := p.URL("postgres")
	execute(t, p, "CREATE TABLE kept AS SELECT 7 AS n")
	for name, end := range map[string]func(context.Context) error{"halt": p.Halt, "crash": p.Crash} {
		exited := p.Exited()
		if err := end(t.Context()); err != nil {
			t.Fatal(name, err)
		}
		<-exited
		if err := p.Start(t.Context()); err != nil {
			t.Fatal(name, err)
		}
		if p.URL("postgres") != before {
			t.Errorf("%s: URL changed", name)
		}
		if n := query[int](t, p, "SELECT n FROM kept"); n != 7 {
			t.Errorf("%s: kept %d", name, n)
		}
	}
}

func TestPostgresOfAnotherProcessIsLeftAlone(t *testing.T) {
	dir := openDir(t)
	p := start(t, PostgresOptions{DataDir: dir})
	if _, err := StartPostgres(t.Context(), PostgresOptions{DataDir: dir}); err == nil || !strings.Contains(err.Error(), "used by another process") {
		t.Errorf("second start: %v", err)
	}
	query[int](t, p, "SELECT 1")
}

func TestPostgresRefusesDataOfAnotherMajorVersion(t *testing.T) {
	dir := openDir(t)
	stop(t, start(t, PostgresOptions{DataDir: dir}))
	if err := os.WriteFile(filepath.Join(dir, "cluster", "PG_VERSION"), []byte("9\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	_, err := StartPostgres(t.Context(), PostgresOptions{DataDir: dir})
	if err == nil || !strings.Contains(err.Error(), "written by PostgreSQL 9") {
		t.Errorf("error %v", err)
	}
}

func TestPostgresStalePIDFileDoesNotBlock(t *testing.T) {
	dir := openDir(t)
	stop(t, start(t, PostgresOptions{DataDir: dir}))
	// A living process of the server's account that is no server: the number was given out again.
	o, err := serverOwner()
	if err != nil {
		t.Fatal(err)
	}
	sleeper := o.command(t.Context(), "/", "sleep", "60")
	if err := sleeper.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() {
		_ = sleeper.Process.Kill()
		_ = sleeper.Wait()
	}()
	pidFile := filepath.Join(dir, "cluster", "postmaster.pid")
	if err := os.WriteFile(pidFile, []byte(strconv.Itoa(sleeper.Process.Pid)+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := o.give(pidFile); err != nil {
		t.Fatal(err)
	}
	query[int](t, start(t, PostgresOptions{DataDir: dir}), "SELECT 1")
	if !alive(sleeper.Process.Pid) {
		t.Error("a process that is no server was ended")
	}
}

func TestPostgresEndsAnOrphanedServer(t *testing.T) {
	dir := openDir(t)
	p := start(t, PostgresOptions{DataDir: dir})
	stop(t, p)
	orphan := p.owner.command(context.Background(), p.cluster.data, p.bin.path("postgres"), p.arguments()...)
	if err := orphan.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- orphan.Wait() }()
	eventually(t, "the orphan serves", func() bool { return exists(filepath.Join(p.cluster.data, "postmaster.pid")) })
	query[int](t, start(t, PostgresOptions{DataDir: dir}), "SELECT 1")
	if err := <-ended; err != nil {
		t.Errorf("the orphan was not shut down: %v", err)
	}
}

func TestPostgresTakenPortIsAnError(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	port := l.Addr().(*net.TCPAddr).Port
	_, err = StartPostgres(t.Context(), PostgresOptions{DataDir: openDir(t), Port: port, Fast: true})
	if err == nil || !strings.Contains(err.Error(), errPortTaken.Error()) {
		t.Errorf("error %v", err)
	}
}

func TestPostgresInAClosedFolder(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("only root's server runs as another account")
	}
	closed := t.TempDir()
	if err := os.Chmod(filepath.Dir(closed), 0o700); err != nil {
		t.Fatal(err)
	}
	p := start(t, PostgresOptions{DataDir: closed})
	t.Cleanup(func() { _ = os.RemoveAll(p.cluster.location) })
	execute(t, p, "CREATE TABLE gone AS SELECT 1")
	if p.cluster.location == p.cluster.home {
		t.Fatal("the folder was not closed")
	}
	stop(t, p)
	// Who empties the folder that he named begins anew.
	if err := os.Remove(filepath.Join(closed, "postgres.password")); err != nil {
		t.Fatal(err)
	}
	anew := start(t, PostgresOptions{DataDir: closed})
	if n := query[int](t, anew, "SELECT count(*)::int FROM pg_class WHERE relname = 'gone'"); n != 0 {
		t.Error("data outlived their folder")
	}
}

// TestPostgresEndsWithItsProcess kills a process that owns a server the hard way.
func TestPostgresEndsWithItsProcess(t *testing.T) {
	if dir, child := os.LookupEnv("TEST_DEVSTACK_CHILD"); child {
		serveUntilKilled(t, dir)
	}
	for name, dir := range map[string]string{"temporary": "", "kept": openDir(t)} {
		t.Run(name, func(t *testing.T) {
			pid, home := killOwner(t, dir)
			eventually(t, "the server ends", func() bool { return !alive(pid) })
			if dir == "" {
				eventually(t, "its folder goes", func() bool { return !exists(home) })
				return
			}
			query[int](t, start(t, PostgresOptions{DataDir: dir}), "SELECT 1")
		})
	}
}

// killOwner runs this test as a process of its own, kills it once its server runs, and says which
// server that was.
func killOwner(t *testing.T, dir string) (pid int, home string) {
	t.Helper()
	child := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestPostgresEndsWithItsProcess$")
	child.Env = append(os.Environ(), "TEST_DEVSTACK_CHILD="+dir)
	out, err := child.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(out)
	for lines.Scan() {
		if rest, ok := strings.CutPrefix(lines.Text(), "serving "); ok {
			number, folder, _ := strings.Cut(rest, " ")
			pid, _ = strconv.Atoi(number)
			home = folder
			break
		}
	}
	if err := child.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = child.Wait() // it was killed
	if pid == 0 {
		t.Fatal("the child started no server")
	}
	return pid, home
}

func serveUntilKilled(t *testing.T, dir string) {
	p, err := StartPostgres(t.Context(), PostgresOptions{DataDir: dir, Fast: true})
	if err != nil {
		t.Fatal(err)
	}
	os.Stdout.WriteString("\nserving " + strconv.Itoa(postmasterPID(t, p.cluster.data)) + " " + p.cluster.home + "\n") //nolint:errcheck // the parent would see nothing
	select {}
}

func TestPostgresTellsWhyItEnded(t *testing.T) {
	dir := openDir(t)
	p := start(t, PostgresOptions{DataDir: dir})
	if err := syscall.Kill(postmasterPID(t, p.cluster.data), syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	select {
	case <-p.Exited():
	case <-time.After(20 * time.Second):
		t.Fatal("it did not end")
	}
	require.ErrorContains(t, p.Failure(), "received smart shutdown request")
}

// Data that need not outlive the machine are in memory where it has room, unless TMPDIR names a place.
func TestTemporaryFolders(t *testing.T) {
	t.Setenv("TMPDIR", "")
	if memory, first := inMemory(), temporaryFolders(true)[0]; memory != "" && first != memory {
		t.Errorf("fast data are in %s, not in %s", first, memory)
	}
	if first := temporaryFolders(false)[0]; first != os.TempDir() {
		t.Errorf("durable data are in %s", first)
	}
	t.Setenv("TMPDIR", "/elsewhere")
	if first := temporaryFolders(true)[0]; first != "/elsewhere" {
		t.Errorf("TMPDIR names another place than %s", first)
	}
}
