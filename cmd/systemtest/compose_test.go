package systemtest

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.yaml.in/yaml/v3"
)

// composeService is what the test needs of a service in compose.yaml.
type composeService struct {
	Image       string
	Command     []string
	Environment map[string]string
}

// TestCompose runs the program's services as compose.yaml has them: their commands, their environment, in that order. Only
// the addresses of the other servers and the folder of the shared volume are this machine's.
func TestCompose(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("../../compose.yaml")
	require.NoError(t, err)
	var file struct {
		Services map[string]composeService
		Configs  struct{ Login struct{ Content string } }
	}
	require.NoError(t, yaml.Unmarshal(text, &file))
	s := newStack(t)
	server, err := url.Parse(s.url)
	require.NoError(t, err)
	_, err = s.db.Exec(t.Context(), "DO $$ BEGIN "+file.Configs.Login.Content+" EXCEPTION WHEN duplicate_object THEN NULL; END $$")
	require.NoError(t, err)
	home, api := t.TempDir(), freeAddress(t)
	ours := strings.NewReplacer("kafka:19092", strings.Join(s.brokers, ","),
		"/home/nonroot", home, "http://traces:4317", "http://127.0.0.1:1",
		"postgres:5432/audittrail", server.Host+server.Path,
		"replica:5432/audittrail", server.Host+server.Path, // no replica, so it is not read
		"redis:6379", "127.0.0.1:1") // away: nothing depends on it
	environment := func(name string) (all []string) {
		for key, value := range file.Services[name].Environment {
			if value = ours.Replace(value); name == "migrate" || name == "grant" {
				value = s.url // the tests' superuser has another name
			}
			all = append(all, key+"="+value)
		}
		return append(all, "AUDITTRAIL_KAFKA_GROUP="+s.group)
	}
	runs := func(name string, args ...string) string {
		t.Helper()
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
		defer cancel()
		c := command(ctx, args...)
		c.Env, c.Dir = append(c.Env, environment(name)...), home
		var stderr bytes.Buffer
		c.Stderr = &stderr
		out, err := c.Output()
		require.NoError(t, err, "%s: %s", name, stderr.String())
		return string(out)
	}
	prepare := func(name string) string { return runs(name, file.Services[name].Command...) }
	for range 2 { // a second `docker compose up` changes nothing
		for _, name := range []string{"migrate", "grant", "keys"} {
			prepare(name)
		}
	}
	var running []*program
	for name, service := range file.Services {
		if service.Image != "audittrail:local" || service.Command[0] != "serve" {
			continue
		}
		args := service.Command
		if name == "api" {
			args = append(slices.Clone(args), "--http.addr", api)
		}
		running = append(running, startIn(t, home, environment(name), name, args...))
	}
	require.GreaterOrEqual(t, len(running), 4)
	startIn(t, home, environment("sample"), "sample", append(slices.Clone(file.Services["sample"].Command), "--interval", "10ms")...)
	for _, p := range running {
		eventually(t, 2*time.Minute, p.name+" is ready", p.ready)
	}

	token := strings.TrimSpace(prepare("token"))
	viewer := strings.TrimSpace(runs("token", "token", "--role", "viewer"))
	eventually(t, 2*time.Minute, "the API shows signed events", func(ctx context.Context) error {
		list := command(ctx, "events", "--output", "ndjson", "--limit", "1", "--client.url", "http://"+api)
		list.Env = append(list.Env, "AUDITTRAIL_CLIENT_TOKEN="+token)
		out, err := list.Output()
		if err != nil || !json.Valid(out) {
			return fmt.Errorf("%q, %w", out, errors.Join(err, errors.New("no event")))
		}
		if one[int64](s, "SELECT count(*) FROM ledger_checkpoints") == 0 {
			return errors.New("no checkpoint")
		}
		return nil
	})
	eventually(t, 2*time.Minute, "e-mail addresses are sealed", func(ctx context.Context) error {
		for asking, want := range map[string]string{token: "@example.com", viewer: `{"$sealed":true}`} {
			list := command(ctx, "events", "--output", "ndjson", "--event-type", "OrderPlaced", "--limit", "1", "--client.url", "http://"+api)
			list.Env = append(list.Env, "AUDITTRAIL_CLIENT_TOKEN="+asking)
			out, err := list.Output()
			if err != nil || !strings.Contains(string(out), `"email":`) || !strings.Contains(string(out), want) {
				return fmt.Errorf("%q, %w", out, errors.Join(err, errors.New("no "+want)))
			}
		}
		return nil
	})
}
