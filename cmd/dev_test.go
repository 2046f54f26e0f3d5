package cmd

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"audittrail/modules/ledger"
	"audittrail/modules/migrate/migratetest"
	"audittrail/modules/notary"
	"audittrail/modules/sample"
)

// childArgs makes TestChild be the program, called with these arguments.
const childArgs = "TEST_CMD_ARGS"

func TestChild(t *testing.T) {
	args := os.Getenv(childArgs)
	if args == "" {
		t.Skip("is the program in the tests that need a process of its own")
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	os.Exit(run(ctx, strings.Split(args, "\n"), os.Stdout, os.Stderr))
}

// program is a running audittrail.
type program struct {
	*exec.Cmd
	out    *bufio.Scanner
	stderr bytes.Buffer
}

func start(t *testing.T, args ...string) *program {
	t.Helper()
	p := &program{Cmd: exec.Command(os.Args[0], "-test.run=^TestChild$", "-test.timeout=120s")}
	p.Env = append(os.Environ(), childArgs+"="+strings.Join(args, "\n"))
	p.Stderr = &p.stderr
	out, err := p.StdoutPipe()
	require.NoError(t, err)
	p.out = bufio.NewScanner(out)
	require.NoError(t, p.Start())
	t.Cleanup(func() {
		if p.ProcessState == nil {
			_ = p.Process.Kill()
			_ = p.Wait()
		}
	})
	return p
}

// until reads the program's output up to the line that fits, and answers its groups.
func (p *program) until(t *testing.T, pattern string) []string {
	t.Helper()
	expr, seen := regexp.MustCompile(pattern), []string{}
	for p.out.Scan() {
		seen = append(seen, p.out.Text())
		if m := expr.FindStringSubmatch(p.out.Text()); m != nil {
			return m
		}
	}
	_ = p.Wait()
	t.Fatalf("no line fits %q in:\n%s\n%s", pattern, strings.Join(seen, "\n"), p.stderr.String())
	return nil
}

// end sends a signal and answers the exit status.
func (p *program) end(t *testing.T, sig os.Signal) int {
	t.Helper()
	require.NoError(t, p.Process.Signal(sig))
	for p.out.Scan() { // Wait closes the pipe: read it before
	}
	_ = p.Wait()
	return p.ProcessState.ExitCode()
}

// dataFolder is a folder for dev, which all accounts can reach.
func dataFolder(t *testing.T) string {
	t.Helper()
	parent, err := os.MkdirTemp("", "audittrail-dev-*")
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, os.RemoveAll(parent)) })
	require.NoError(t, os.Chmod(parent, 0o755))
	return filepath.Join(parent, "data")
}

func devArgs(dir string, more ...string) []string {
	return append([]string{"dev", "--data", dir, "--http.addr", "127.0.0.1:0", "--admin.addr", "127.0.0.1:0"}, more...)
}

// processesOf are the processes whose command line names the folder.
func processesOf(t *testing.T, dir string) []string {
	t.Helper()
	if runtime.GOOS != "linux" {
		return nil
	}
	var found []string
	lines, err := filepath.Glob("/proc/[0-9]*/cmdline")
	require.NoError(t, err)
	for _, path := range lines {
		if text, err := os.ReadFile(path); err == nil && bytes.Contains(text, []byte(dir)) {
			found = append(found, string(bytes.ReplaceAll(text, []byte{0}, []byte{' '})))
		}
	}
	return found
}

func requireNothingLeft(t *testing.T, dir string) {
	t.Helper()
	require.Eventually(t, func() bool { return len(processesOf(t, dir)) == 0 }, time.Minute, 50*time.Millisecond,
		"%v", processesOf(t, dir))
}

// ask sends a request with the folder's token, and answers what came back.
func ask(t *testing.T, dir, url string) (status int, body []byte) {
	t.Helper()
	token, err := os.ReadFile(filepath.Join(dir, "token"))
	require.NoError(t, err)
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	require.NoError(t, err)
	req.Header.Set("Authorization", "Bearer "+strings.TrimSpace(string(token)))
	resp, err := (&http.Client{Timeout: 20 * time.Second}).Do(req)
	require.NoError(t, err)
	defer resp.Body.Close()
	var b bytes.Buffer
	_, err = b.ReadFrom(resp.Body)
	require.NoError(t, err)
	return resp.StatusCode, b.Bytes()
}

const (
	apiLine   = `API +(http://[0-9.:]+)`
	firstLine = `First event stored ([0-9.]+) s after the start: \S+ ([0-9a-f-]{36}) of`
)

// The whole way: a first start, the API with the token that dev wrote, the books balanced, a stop by
// signal; a second start that goes on; a kill without warning; a third start.
func TestDevFromFirstStartToAfterAKill(t *testing.T) {
	dir := dataFolder(t)
	p := start(t, devArgs(dir)...)
	api := p.until(t, apiLine)[1]
	brokers := p.until(t, `Kafka +(\S+)`)[1] // whatever else listens at the default's port on this machine
	first := p.until(t, firstLine)
	status, body := ask(t, dir, api+"/v1/events/"+first[2])
	require.Equal(t, 200, status, string(body))
	require.Contains(t, string(body), first[2])
	info, err := os.Stat(filepath.Join(dir, "token"))
	require.NoError(t, err)
	require.EqualValues(t, 0o600, info.Mode().Perm())
	require.NotEmpty(t, processesOf(t, dir), "the check for what is left sees what runs")
	size := signed(t, dir, 0)

	t.Setenv("AUDITTRAIL_POSTGRES_URL_FILE", filepath.Join(dir, "postgres-url"))
	t.Setenv("AUDITTRAIL_CLIENT_TOKEN_FILE", filepath.Join(dir, "token"))
	out, errs, code := call(t, "reconcile", "--kafka.brokers", brokers)
	require.Equal(t, 0, code, out+errs)
	out, errs, code = call(t, "events", "--client.url", api, "--output", "ndjson", "--limit", "1")
	require.Equal(t, 0, code, errs)
	require.Equal(t, 1, strings.Count(out, "\n"))
	require.NoError(t, os.Unsetenv("AUDITTRAIL_POSTGRES_URL_FILE"))

	_, errs, code = call(t, devArgs(dir)...)
	require.Equal(t, 1, code)
	require.Contains(t, errs, "another audittrail is running on this data folder (process "+fmt.Sprint(p.Process.Pid)+")")

	require.Equal(t, 0, p.end(t, os.Interrupt), p.stderr.String())
	requireNothingLeft(t, dir)

	t.Setenv("AUDITTRAIL_POSTGRES_URL_FILE", filepath.Join(dir, "postgres-url")) // the shell is still prepared for the commands
	p = start(t, devArgs(dir)...)
	require.NoError(t, os.Unsetenv("AUDITTRAIL_POSTGRES_URL_FILE"))
	api = p.until(t, apiLine)[1]
	second := p.until(t, firstLine)
	require.NotEqual(t, first[2], second[2], "a new event")
	t.Logf("warm start to the first stored event: %s s", second[1])
	status, _ = ask(t, dir, api+"/v1/events/"+first[2])
	require.Equal(t, 200, status, "what was stored before is there")
	size = signed(t, dir, size)
	require.Equal(t, -1, p.end(t, syscall.SIGKILL))
	requireNothingLeft(t, dir)

	p = start(t, devArgs(dir)...)
	api = p.until(t, apiLine)[1]
	p.until(t, firstLine)
	for _, id := range []string{first[2], second[2]} {
		status, _ = ask(t, dir, api+"/v1/events/"+id)
		require.Equal(t, 200, status)
	}
	signed(t, dir, size)
	t.Setenv("AUDITTRAIL_POSTGRES_URL_FILE", filepath.Join(dir, "postgres-url"))
	out, errs, code = call(t, "reconcile")
	require.Equal(t, 0, code, out+errs)
	require.NoError(t, os.Unsetenv("AUDITTRAIL_POSTGRES_URL_FILE"))
	require.Equal(t, 0, p.end(t, syscall.SIGTERM), p.stderr.String())
	requireNothingLeft(t, dir)
}

// Without sample traffic nothing comes but what somebody publishes, to any topic; --fresh forgets it.
func TestDevIngestsWhatIsPublishedAndForgetsItWithFresh(t *testing.T) {
	t.Parallel()
	dir := dataFolder(t)
	p := start(t, devArgs(dir, "--no-sample")...)
	api := p.until(t, apiLine)[1]
	brokers := p.until(t, `Kafka +(\S+)`)[1]
	out, errs, code := call(t, "publish", orderFile(t, 20), "--topic", "mine", "--create", "2", "--kafka.brokers", brokers)
	require.Equal(t, 0, code, out+errs)
	p.until(t, firstLine)
	require.Eventually(t, func() bool { return stored(t, dir, api, "mine") == 20 }, time.Minute, 100*time.Millisecond)
	require.EqualValues(t, 20, signed(t, dir, 19))
	require.Equal(t, 0, p.end(t, os.Interrupt), p.stderr.String())

	keep := filepath.Join(dir, "notes.txt")
	require.NoError(t, os.WriteFile(keep, []byte("mine"), 0o600))
	p = start(t, devArgs(dir, "--no-sample", "--fresh")...)
	api = p.until(t, apiLine)[1]
	p.until(t, `reconcile`)
	require.Zero(t, stored(t, dir, api, "mine"))
	require.FileExists(t, keep, "what dev did not make stays")
	require.Equal(t, 0, p.end(t, os.Interrupt), p.stderr.String())
	requireNothingLeft(t, dir)
}

// A broker and a database that are given are used, and left as somebody else's; nothing is embedded.
func TestDevUsesTheBrokerAndDatabaseThatItIsGiven(t *testing.T) {
	dir, c, url := dataFolder(t), broker(t), migratetest.Database(t)
	p := start(t, devArgs(dir, "--kafka.brokers", c.ListenAddrs()[0], "--postgres.url", url)...)
	p.until(t, firstLine)
	require.Equal(t, 0, p.end(t, os.Interrupt), p.stderr.String())
	require.NoDirExists(t, filepath.Join(dir, "kafka"))
	require.NoDirExists(t, filepath.Join(dir, "postgres"))
	require.Len(t, count(t, c, sample.TopicPayments), 3, "the sample's topics were made")
	out, errs, code := call(t, "reconcile", "--postgres.url", url)
	require.Equal(t, 0, code, out+errs)
}

// signed waits until the notary has signed more entries of the events' log than a size, by the keys that
// dev wrote, and answers how many.
func signed(t *testing.T, dir string, beyond int64) int64 {
	t.Helper()
	info, err := os.Stat(filepath.Join(dir, "ledger-signing-key"))
	require.NoError(t, err)
	require.EqualValues(t, 0o600, info.Mode().Perm())
	text, err := os.ReadFile(filepath.Join(dir, "verifier-keys.txt"))
	require.NoError(t, err)
	keys, err := ledger.ParseKeys(string(text))
	require.NoError(t, err)
	var size int64
	require.Eventually(t, func() bool {
		state, err := notary.ReadState(filepath.Join(dir, "notary.json"))
		if err != nil || len(state.Logs) == 0 || state.Logs[0].Log != ledger.Events {
			return false
		}
		c, err := ledger.OpenCheckpoint([]byte(state.Logs[0].Checkpoint), keys)
		size = c.Size
		return err == nil && size > beyond
	}, 20*time.Second, 20*time.Millisecond)
	return size
}

// stored is how many events of a topic the API accounts for.
func stored(t *testing.T, dir, api, topic string) (n int) {
	t.Helper()
	status, body := ask(t, dir, api+"/v1/ingest/offsets")
	require.Equal(t, 200, status, string(body))
	var list struct {
		Items []struct {
			Topic  string
			Stored int
		}
	}
	require.NoError(t, json.Unmarshal(body, &list))
	for _, p := range list.Items {
		if p.Topic == topic {
			n += p.Stored
		}
	}
	return n
}

func TestDevNamesTheKeyOfABusyPort(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer taken.Close()
	for _, key := range []string{"http.addr", "admin.addr"} {
		dir := dataFolder(t)
		_, errs, code := call(t, devArgs(dir, "--no-sample", "--postgres.url", migratetest.Database(t), "--"+key, taken.Addr().String())...)
		require.Equal(t, 1, code, errs)
		require.Contains(t, errs, key)
		require.Contains(t, errs, "address already in use")
		requireNothingLeft(t, dir)
	}
}

func TestDevRefusesAFolderOfSomebodyElse(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "thesis.tex")
	require.NoError(t, os.WriteFile(file, nil, 0o600))
	for _, fresh := range []string{"--no-sample", "--fresh"} {
		_, errs, code := call(t, devArgs(dir, fresh)...)
		require.Equal(t, 1, code)
		require.Contains(t, errs, "was not made by audittrail dev")
		require.FileExists(t, file)
	}
}
