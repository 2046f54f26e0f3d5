package systemtest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
)

// notRun are lines of README that are not run, by how they begin, and why.
func notRun() map[string]string {
	return map[string]string{
		"go run . dev":        "is started by the test, with ports of its own",
		"go test ./...":       "is what runs",
		"go build ":           "this test binary is the program",
		"audittrail migrate ": "needs a server's owner: the tests of migrate run it",
		"audittrail config ":  "needs a file of the reader's own: the tests of config run it",
		"audittrail serve ":   "needs Kafka and PostgreSQL: all tests here run it",
	}
}

// TestREADME runs README's commands as they stand, in the order in which they stand, in a folder where `dev` runs. Only
// the API's address and the order's id are others.
func TestREADME(t *testing.T) {
	t.Parallel()
	bash, err := exec.LookPath("bash")
	if err == nil {
		_, err = exec.LookPath("curl")
	}
	if err != nil && os.Getenv("CI") == "" {
		t.Skip("wants bash and curl: ", err)
	}
	dir, err := os.MkdirTemp("", "audittrail-readme-*")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o755); err != nil { // PostgreSQL runs under an account of its own if this is root
		t.Fatal(err)
	}
	address := freeAddress(t)
	dev := startIn(t, dir, nil, "dev", "dev", "--http.addr", address)
	text, err := os.ReadFile(filepath.Join("..", "..", "README.md"))
	if err != nil {
		t.Fatal(err)
	}
	script := readmeScript(t, string(text))
	id := regexp.MustCompile(`SO-\d{6}-\w+`).FindString(script)
	if id == "" || !strings.Contains(script, "127.0.0.1:8080") || !strings.Contains(script, "verify --database") {
		t.Fatalf("README's commands are not what this test takes them for:\n%s", script)
	}
	order := backordered(t, dev, dir, address)
	script = strings.NewReplacer("127.0.0.1:8080", address, id, order).Replace(script)

	// `go run .` and `audittrail` are this binary.
	shim := "#!/bin/sh\n[ \"$1 $2\" = 'run .' ] && shift 2\nexec env " + asProgram + "=1 '" + os.Args[0] + "' \"$@\"\n"
	bin := filepath.Join(dir, "bin")
	if err := os.Mkdir(bin, 0o755); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"go", "audittrail"} {
		if err := os.WriteFile(filepath.Join(bin, name), []byte(shim), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	c := commandOf(ctx, bash, "-euo", "pipefail", "-xc", script)
	c.Dir = dir
	c.Env = append(c.Env, "PATH="+bin+string(os.PathListSeparator)+os.Getenv("PATH"), "AUDITTRAIL_CLIENT_URL=http://"+address)
	out, err := c.CombinedOutput()
	if err != nil {
		t.Fatalf("%v:\n%s", err, out)
	}
	for _, want := range []string{`"eventType":"OrderBackordered"`, order, "order.json: proven", "INTACT"} {
		if !strings.Contains(string(out), want) {
			t.Errorf("nothing says %q in:\n%s", want, out)
		}
	}
	keys, err := os.ReadFile(filepath.Join(dir, "verifier-keys.txt"))
	if err != nil || !strings.Contains(string(keys), "audit.example.com/shop/events+") {
		t.Errorf("verifier-keys.txt: %v: %s", err, keys)
	}
	dev.stop()
}

// readmeScript returns the lines of README's shell blocks that are to be run.
func readmeScript(t *testing.T, text string) string {
	t.Helper()
	var script []string
	for _, block := range regexp.MustCompile("(?s)```sh\n(.*?)```").FindAllStringSubmatch(text, -1) {
	lines:
		for _, line := range strings.Split(strings.ReplaceAll(block[1], "\\\n", " "), "\n") {
			for begin := range notRun() {
				if strings.HasPrefix(line, begin) {
					continue lines
				}
			}
			script = append(script, line)
		}
	}
	return strings.Join(script, "\n")
}

// backordered waits until the sample has a backordered order, all of whose events are signed, and returns its id.
func backordered(t *testing.T, dev *program, dir, address string) (id string) {
	t.Helper()
	eventually(t, 2*time.Minute, "README's first query finds something", func(ctx context.Context) error {
		dev.alive()
		token, err := os.ReadFile(filepath.Join(dir, ".audittrail", "token"))
		if err != nil {
			return err
		}
		get := func(path string) (string, error) {
			request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+address+path, nil)
			if err != nil {
				return "", err
			}
			request.Header.Set("Authorization", "Bearer "+strings.TrimSpace(string(token)))
			response, err := (&http.Client{Timeout: 10 * time.Second}).Do(request)
			if err != nil {
				return "", err
			}
			defer response.Body.Close()
			body, err := io.ReadAll(response.Body)
			if err == nil && response.StatusCode != http.StatusOK {
				err = fmt.Errorf("%s: %s: %s", path, response.Status, body)
			}
			return string(body), err
		}
		list, err := get("/v1/events?eventType=OrderBackordered&limit=1")
		if err != nil {
			return err
		}
		found := regexp.MustCompile(`"eventId":"([^"]+)".*"aggregateId":"(SO-[^"]+)"`).FindStringSubmatch(list)
		if found == nil {
			return errors.New("no order is backordered yet")
		}
		id = found[2]
		_, err = get("/v1/events/" + found[1] + "/proof")
		return err
	})
	return id
}
