// Package observability holds the alert rules and dashboards to the program, to their runbooks and to promtool.
package observability

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"go.yaml.in/yaml/v3"
)

type ruleFile struct {
	Groups []struct {
		Rules []rule `yaml:"rules"`
	} `yaml:"groups"`
}

type rule struct {
	Record, Alert, Expr string
	Labels, Annotations map[string]string
}

// rules reads alerts.yaml.
func rules(t *testing.T) (all []rule) {
	t.Helper()
	text, err := os.ReadFile("alerts.yaml")
	require.NoError(t, err)
	var file ruleFile
	require.NoError(t, yaml.Unmarshal(text, &file))
	for _, g := range file.Groups {
		all = append(all, g.Rules...)
	}
	require.NotEmpty(t, all)
	return all
}

func promtool(t *testing.T, args ...string) {
	t.Helper()
	tool(t, "promtool", args...)
}

// tool runs a program of the Debian packages prometheus and prometheus-alertmanager, which .ci/run installs.
func tool(t *testing.T, name string, args ...string) {
	t.Helper()
	path, err := exec.LookPath(name)
	if err != nil && os.Getenv("CI") == "" {
		t.Skipf("%s is not installed (Debian packages prometheus and prometheus-alertmanager)", name)
	}
	require.NoError(t, err)
	out, err := exec.CommandContext(t.Context(), path, args...).CombinedOutput()
	require.NoError(t, err, "%s", out)
}

func TestPromtool(t *testing.T) {
	promtool(t, "check", "rules", "--lint-fatal", "alerts.yaml")
	promtool(t, "check", "config", "--syntax-only", "compose/prometheus.yaml")
	promtool(t, "test", "rules", "alerts_test.yaml")
	tool(t, "amtool", "check-config", "compose/alertmanager.yaml")
}

// The Helm chart has the same rules: a chart can't hold files from outside of its folder.
func TestTheChartHasTheRules(t *testing.T) {
	ours, err := os.ReadFile("alerts.yaml")
	require.NoError(t, err)
	charts, err := os.ReadFile("../../charts/audittrail/files/alerts.yaml")
	require.NoError(t, err)
	require.True(t, bytes.Equal(ours, charts), "cp deploy/observability/alerts.yaml charts/audittrail/files/ && go test ./charts -update")
}

// Every alert has a case in alerts_test.yaml in which it fires, and one in which it does not.
func TestEachAlertHasCases(t *testing.T) {
	text, err := os.ReadFile("alerts_test.yaml")
	require.NoError(t, err)
	var file struct {
		Tests []struct {
			Cases []struct {
				Expr    string
				Samples []struct{ Value float64 } `yaml:"exp_samples"`
			} `yaml:"promql_expr_test"`
		}
	}
	require.NoError(t, yaml.Unmarshal(text, &file))
	fires, silent := map[string]bool{}, map[string]bool{}
	expr := regexp.MustCompile(`^count\(ALERTS\{alertname="(\w+)", alertstate="firing"\}\)$`)
	for _, test := range file.Tests {
		for _, c := range test.Cases {
			found := expr.FindStringSubmatch(c.Expr)
			require.NotNil(t, found, c.Expr)
			if len(c.Samples) > 0 {
				fires[found[1]] = true
			} else {
				silent[found[1]] = true
			}
		}
	}
	for _, r := range rules(t) {
		if r.Alert != "" {
			require.True(t, fires[r.Alert], "alerts_test.yaml has no case in which %s fires", r.Alert)
			require.True(t, silent[r.Alert], "alerts_test.yaml has no case in which %s does not fire", r.Alert)
		}
	}
}

// Who is woken by an alert finds what to do.
func TestEachAlertHasARunbook(t *testing.T) {
	text, err := os.ReadFile("../../docs/OPERATIONS.md")
	require.NoError(t, err)
	var sections []string
	for _, heading := range regexp.MustCompile(`(?m)^#+ (.+)$`).FindAllStringSubmatch(string(text), -1) {
		sections = append(sections, "docs/OPERATIONS.md#"+strings.ReplaceAll(strings.ToLower(heading[1]), " ", "-"))
	}
	linked := map[string]bool{}
	for _, r := range rules(t) {
		if r.Alert == "" {
			continue
		}
		require.Contains(t, []string{"critical", "warning"}, r.Labels["severity"], r.Alert)
		require.NotEmpty(t, r.Annotations["summary"], r.Alert)
		require.NotEmpty(t, r.Annotations["description"], r.Alert)
		require.Contains(t, sections, r.Annotations["runbook_url"], r.Alert)
		linked[r.Annotations["runbook_url"]] = true
	}
	for _, section := range sections {
		if strings.Contains(section, "#audittrail") {
			require.True(t, linked[section], "no alert leads to %s", section)
		}
	}
}

// dashboard is what the test looks at of a Grafana dashboard.
type dashboard struct {
	UID, Title string
	Panels     []panel
	Templating struct {
		List []struct{ Name, Type, Query string }
	}
}

type panel struct {
	ID          int
	Title, Type string
	Description string
	Datasource  struct{ Type, UID string }
	Targets     []struct{ Expr, LegendFormat string }
}

func dashboards(t *testing.T) (all []dashboard) {
	t.Helper()
	files, err := filepath.Glob("dashboards/*.json")
	require.NoError(t, err)
	require.Len(t, files, 4, "one for operators, one for compliance, one for a service team, one for analysts")
	for _, name := range files {
		text, err := os.ReadFile(name)
		require.NoError(t, err)
		var d dashboard
		require.NoError(t, json.Unmarshal(text, &d), name)
		all = append(all, d)
	}
	return all
}

// Every metric that a rule or a dashboard names exists, and so does every label: docs/METRICS.md lists what the program
// registers, and a test of the program holds it to that.
func TestEveryMetricAndLabelExists(t *testing.T) {
	text, err := os.ReadFile("../../docs/METRICS.md")
	require.NoError(t, err)
	labels := map[string][]string{} // of each metric
	for _, row := range regexp.MustCompile("(?m)^\\| `(audittrail_\\w+)` \\| (\\w+) \\| (.*?) \\|").FindAllStringSubmatch(string(text), -1) {
		own := regexp.MustCompile(`\w+`).FindAllString(row[3], -1)
		if row[2] != "histogram" {
			labels[row[1]] = own
			continue
		}
		labels[row[1]+"_bucket"], labels[row[1]+"_sum"], labels[row[1]+"_count"] = append(own, "le"), own, own
	}
	require.NotEmpty(t, labels)
	// What names labels: the expression, and the texts that show its result.
	type use struct{ expr, texts string }
	uses := map[string]use{}
	for _, r := range rules(t) {
		if r.Record != "" {
			labels[r.Record] = nil
		}
		uses[r.Alert+r.Record] = use{r.Expr, r.Annotations["summary"] + r.Annotations["description"]}
	}
	for _, d := range dashboards(t) {
		for _, p := range d.Panels {
			for i, target := range p.Targets {
				uses[fmt.Sprintf("%s/%s/%d", d.UID, p.Title, i)] = use{target.Expr, target.LegendFormat}
			}
		}
		for _, v := range d.Templating.List {
			uses[d.UID+"/$"+v.Name] = use{expr: v.Query}
		}
	}
	lists := regexp.MustCompile(`(?:by|on|ignoring|without) \(([\w, ]+)\)`)
	for where, u := range uses {
		known := []string{"instance", "job"} // which Prometheus adds
		for _, name := range regexp.MustCompile(`\baudittrail[_:][\w:]+`).FindAllString(u.expr, -1) {
			require.Contains(t, labels, name, "%s names a metric that docs/METRICS.md does not have", where)
			known = append(known, labels[name]...)
		}
		var named []string
		for _, list := range lists.FindAllStringSubmatch(u.expr, -1) {
			named = append(named, strings.Split(list[1], ", ")...)
		}
		for _, found := range regexp.MustCompile(`(\w+)=~?"`).FindAllStringSubmatch(u.expr, -1) {
			named = append(named, found[1])
		}
		for _, found := range regexp.MustCompile(`\{\{ ?(?:with )?(?:\$labels\.)?([a-z]\w*)`).FindAllStringSubmatch(u.texts, -1) {
			named = append(named, found[1])
		}
		for _, label := range named {
			if label != "end" { // of a template
				require.Contains(t, known, label, "%s names a label that its metrics do not have", where)
			}
		}
	}
}

// Dashboards are complete, and Prometheus can read each expression.
func TestDashboards(t *testing.T) {
	type record struct {
		Record string `yaml:"record"`
		Expr   string `yaml:"expr"`
	}
	var records []record
	var uids []string
	variables := strings.NewReplacer("$__rate_interval", "5m", "$__range", "1h", "$topic", "orders", "$route", "x")
	for _, d := range dashboards(t) {
		require.NotContains(t, uids, d.UID)
		uids = append(uids, d.UID)
		require.NotEmpty(t, d.Title)
		var ids []int
		for _, p := range d.Panels {
			require.NotContains(t, ids, p.ID, d.Title)
			ids = append(ids, p.ID)
			require.NotEmpty(t, p.Title)
			if slices.Contains([]string{"row", "text"}, p.Type) {
				continue
			}
			require.NotEmpty(t, p.Description, p.Title)
			require.Equal(t, "${datasource}", p.Datasource.UID, p.Title)
			require.NotEmpty(t, p.Targets, p.Title)
			for _, target := range p.Targets {
				records = append(records, record{fmt.Sprintf("x:%d", len(records)), variables.Replace(target.Expr)})
			}
		}
	}
	text, err := yaml.Marshal(map[string]any{"groups": []any{map[string]any{"name": "dashboards", "rules": records}}})
	require.NoError(t, err)
	require.False(t, bytes.Contains(text, []byte("$")), "a variable has no value here:\n%s", text)
	path := filepath.Join(t.TempDir(), "rules.yaml")
	require.NoError(t, os.WriteFile(path, text, 0o600))
	promtool(t, "check", "rules", path)
}

// compose.yaml runs every role, Prometheus scrapes each, nothing is reachable from other machines, and every server that
// stays has a health check.
func TestCompose(t *testing.T) {
	var file struct {
		Services map[string]struct {
			Image       string
			Command     []string
			Ports       []string
			Volumes     []string
			Healthcheck map[string]any
			DependsOn   map[string]struct{ Condition string } `yaml:"depends_on"`
		}
	}
	var scraped struct {
		Configs []struct {
			Static []struct{ Targets []string } `yaml:"static_configs"`
		} `yaml:"scrape_configs"`
	}
	for path, into := range map[string]any{"../../compose.yaml": &file, "compose/prometheus.yaml": &scraped} {
		text, err := os.ReadFile(path)
		require.NoError(t, err)
		require.NoError(t, yaml.Unmarshal(text, into))
	}
	metrics, err := os.ReadFile("../../docs/METRICS.md")
	require.NoError(t, err)
	for _, role := range regexp.MustCompile("(?m)^## Role `(\\w+)`$").FindAllStringSubmatch(string(metrics), -1) {
		runs := func(name string) bool { return slices.Contains(file.Services[name].Command, "--roles="+role[1]) }
		require.True(t, runs(role[1]), "compose.yaml has no service %s with --roles=%[1]s", role[1])
		require.Contains(t, scraped.Configs[0].Static[0].Targets, role[1]+":9090")
	}
	for name, service := range file.Services {
		for _, port := range service.Ports {
			require.Regexp(t, `^127\.0\.0\.1:\d+:\d+$`, port, name)
		}
		if service.Image != "audittrail:local" || service.Command[0] == "serve" {
			require.NotEmpty(t, service.Healthcheck, name)
		}
		for other, wait := range service.DependsOn {
			require.Contains(t, file.Services, other, name)
			require.Equal(t, wait.Condition == "service_healthy", len(file.Services[other].Healthcheck) > 0, "%s waits for %s", name, other)
		}
		for _, volume := range service.Volumes {
			if source, _, _ := strings.Cut(volume, ":"); strings.HasPrefix(source, ".") {
				_, err := os.Stat(filepath.Join("../..", source)) // Docker would make a folder of that name
				require.NoError(t, err, name)
			}
		}
	}
}
