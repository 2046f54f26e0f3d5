package systemtest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// TestAnAlertArrives stops ingest under a running Prometheus with the rules that operators load, and an Alertmanager.
// The alert arrives at a webhook, with the runbook's address; when ingest goes on, so does its end. Of the rules only
// the times are changed for which an alert has to hold.
func TestAnAlertArrives(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"prometheus", "prometheus-alertmanager"} {
		if _, err := exec.LookPath(name); err != nil && os.Getenv("CI") == "" {
			t.Skipf("%s is not installed", name)
		} else if err != nil {
			t.Fatal(err)
		}
	}
	s := newStack(t)
	ingest := s.ingest("ingest")
	eventually(t, time.Minute, "ingest is ready", ingest.ready)
	hook := newWebhook(t)
	prometheus := monitor(t, hook.URL, ingest.admin)

	const alert = "AudittrailIngestDown"
	eventually(t, time.Minute, "Prometheus watches ingest, and all is well", func(ctx context.Context) error {
		scraped, err := prometheus.count(ctx, "audittrail_ingest_records_total")
		if err != nil {
			return err
		}
		firing, err := prometheus.count(ctx, fmt.Sprintf("ALERTS{alertname=%q}", alert))
		if err == nil && (scraped == 0 || firing > 0) {
			err = fmt.Errorf("%d series, %d alerts", scraped, firing)
		}
		return err
	})

	stopped := time.Now()
	ingest.signal(syscall.SIGSTOP)
	var fired notification
	eventually(t, 2*time.Minute, "the alert arrives", func(context.Context) (err error) {
		fired, err = hook.find(alert, "firing", stopped)
		return err
	})
	if fired.Labels["severity"] != "critical" || fired.Annotations["runbook_url"] != "docs/OPERATIONS.md#audittrailingestdown" {
		t.Errorf("the alert does not say how grave it is and what to do: %+v", fired)
	}

	ingest.signal(syscall.SIGCONT)
	eventually(t, 2*time.Minute, "its end arrives", func(context.Context) error {
		_, err := hook.find(alert, "resolved", stopped)
		return err
	})
}

// notification is an alert as Alertmanager sends it.
type notification struct {
	Status              string
	Labels, Annotations map[string]string
	StartsAt            time.Time
}

// webhook keeps what Alertmanager sends.
type webhook struct {
	*httptest.Server
	mu       sync.Mutex
	received []notification
}

func newWebhook(t *testing.T) *webhook {
	t.Helper()
	w := &webhook{}
	w.Server = httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		var message struct{ Alerts []notification }
		if err := json.NewDecoder(r.Body).Decode(&message); err != nil {
			t.Errorf("what Alertmanager sends: %v", err)
		}
		w.mu.Lock()
		defer w.mu.Unlock()
		w.received = append(w.received, message.Alerts...)
	}))
	t.Cleanup(w.Close)
	return w
}

// find returns the notification of an alert that began after a time.
func (w *webhook) find(alert, status string, after time.Time) (notification, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, n := range w.received {
		if n.Labels["alertname"] == alert && n.Status == status && n.StartsAt.After(after) {
			return n, nil
		}
	}
	return notification{}, fmt.Errorf("not among %d", len(w.received))
}

// server is a running Prometheus.
type server struct{ address string }

// monitor starts Alertmanager, which sends to the webhook, and Prometheus, which scrapes the target.
func monitor(t *testing.T, hook, target string) server {
	t.Helper()
	dir := t.TempDir()
	rules, err := os.ReadFile("../../deploy/observability/alerts.yaml")
	if err != nil {
		t.Fatal(err)
	}
	rules = regexp.MustCompile(`(?m)^( +for:) \w+$`).ReplaceAll(rules, []byte("$1 1s"))
	alertmanager, prometheus := freeAddress(t), freeAddress(t)
	for name, text := range map[string]string{
		"alerts.yaml": string(rules),
		"alertmanager.yaml": fmt.Sprintf(`
route: {receiver: hook, group_by: [alertname], group_wait: 0s, group_interval: 1s}
receivers: [{name: hook, webhook_configs: [{url: %q, send_resolved: true}]}]
`, hook),
		"prometheus.yaml": fmt.Sprintf(`
global: {scrape_interval: 2s, scrape_timeout: 2s, evaluation_interval: 1s}
rule_files: [alerts.yaml]
alerting: {alertmanagers: [{static_configs: [{targets: [%q]}]}]}
scrape_configs: [{job_name: audittrail, static_configs: [{targets: [%q]}]}]
`, alertmanager, target),
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	daemon(t, alertmanager, "prometheus-alertmanager", "--config.file="+filepath.Join(dir, "alertmanager.yaml"),
		"--storage.path="+filepath.Join(dir, "alertmanager"), "--web.listen-address="+alertmanager, "--cluster.listen-address=")
	daemon(t, prometheus, "prometheus", "--config.file="+filepath.Join(dir, "prometheus.yaml"),
		"--storage.tsdb.path="+filepath.Join(dir, "prometheus"), "--web.listen-address="+prometheus)
	return server{prometheus}
}

// daemon runs a server until the test ends, and waits until it is ready.
func daemon(t *testing.T, address, name string, args ...string) {
	t.Helper()
	cmd := exec.CommandContext(context.Background(), name, args...)
	var said strings.Builder
	cmd.Stdout, cmd.Stderr = &said, &said
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	release := guard(t, cmd.Process.Pid)
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		release()
		if t.Failed() {
			t.Logf("%s said:\n%s", name, tail([]byte(said.String())))
		}
	})
	eventually(t, time.Minute, name+" is ready", func(ctx context.Context) error {
		_, err := fetch(ctx, "http://"+address+"/-/ready")
		return err
	})
}

// count asks how many series an expression has now.
func (s server) count(ctx context.Context, expression string) (int, error) {
	body, err := fetch(ctx, "http://"+s.address+"/api/v1/query?query="+url.QueryEscape(expression))
	if err != nil {
		return 0, err
	}
	var answer struct {
		Data struct{ Result []json.RawMessage }
	}
	err = json.Unmarshal(body, &answer)
	return len(answer.Data.Result), err
}

func fetch(ctx context.Context, address string) ([]byte, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return nil, err
	}
	response, err := (&http.Client{Timeout: 10 * time.Second}).Do(request)
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err == nil && response.StatusCode != http.StatusOK {
		err = errors.New(response.Status)
	}
	return body, err
}
