package app

import (
	"cmp"
	"fmt"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/require"

	"audittrail/platform/auth/authtest"
	"audittrail/platform/kafka"
	"audittrail/platform/telemetry/buildinfo"
)

// metric is a metric as it is documented.
type metric struct{ name, kind, labels, help string }

// TestMetrics holds docs/METRICS.md to what the program registers: go test ./cmd/app -run TestMetrics -update
func TestMetrics(t *testing.T) {
	issuer := authtest.NewIssuer(t).Options()
	authority := newAuthority(t)
	cert, key := authority.issue("server")
	roles := map[string][]metric{}
	shared := map[string]int{}
	for _, name := range roleNames() {
		c, err := load(t, "--roles="+name, "--postgres.url=postgres://localhost/none",
			"--postgres.replica_urls=postgres://localhost:1/none", "--redis.url=redis://localhost:1", "--kafka.brokers=localhost:1", "--kafka.topics=orders",
			"--admin.tls.cert="+cert, "--admin.tls.key="+key, "--auth.issuer="+issuer.Issuer, "--auth.audience="+issuer.Audience,
			"--auth.jwks_file="+issuer.JWKSFile, "--ledger.origin="+origin, "--ledger.signing_key="+signingKey(t, 1).Secret(),
			"--notary.state_file="+filepath.Join(t.TempDir(), "notary.json"))
		require.NoError(t, err)
		p := &parts{cfg: c, log: slog.New(slog.DiscardHandler), metrics: newMetricRegistry(c, buildinfo.Read()), listeners: &listeners{}}
		_, err = p.build(t.Context(), chosen(c)[0])
		require.NoError(t, err)
		for _, client := range clients[name] {
			made, err := kafka.NewClient(c.Kafka, client, p.log, p.metrics)
			require.NoError(t, err)
			defer made.Close() // unregisters its metrics
		}
		roles[name] = metricsOf(t, p.metrics)
		p.close(t.Context())
		for _, m := range roles[name] {
			shared[m.name]++
		}
	}

	text := strings.Builder{}
	text.WriteString(metricsHead)
	known := map[string]bool{}
	inAll := func(m metric) bool { return shared[m.name] == len(roles) }
	for _, section := range append([]string{""}, roleNames()...) {
		title, list := "Every process", roles[cmp.Or(section, "ingest")]
		if section != "" {
			title = "Role `" + section + "`"
		}
		fmt.Fprintf(&text, "\n## %s\n| metric | type | labels | what |\n|---|---|---|---|\n", title)
		for _, m := range list {
			if inAll(m) == (section == "") {
				known[m.name] = true
				fmt.Fprintf(&text, "| `%s` | %s | %s | %s |\n", m.name, m.kind, m.labels, strings.ReplaceAll(m.help, "|", `\|`))
			}
		}
		if section != "" {
			require.Contains(t, metricsHead, "| `"+section+"` |", "the table of rate, errors and duration at the head of METRICS.md has no row for this role")
		}
	}
	suffix := regexp.MustCompile(`_(count|sum|bucket)$`)
	for _, quoted := range regexp.MustCompile("`audittrail_[a-z_]+`").FindAllString(metricsHead, -1) {
		name := strings.Trim(quoted, "`")
		require.True(t, known[name] || known[suffix.ReplaceAllString(name, "")], "the head of METRICS.md names %s, which does not exist", name)
	}

	path := filepath.Join("..", "..", "docs", "METRICS.md")
	if *update {
		require.NoError(t, os.WriteFile(path, []byte(text.String()), 0o644))
	}
	want, err := os.ReadFile(path)
	require.NoError(t, err)
	require.Equal(t, string(want), text.String(), "run with -update")
}

// clients are the names of the Kafka clients that roles make while they run: one of several with the same metrics.
var clients = map[string][]string{"ingest": {"ingest"}}

// metricsOf lists the program's own metrics of a registry, by name. Go's and the process's are client_golang's matter.
func metricsOf(t *testing.T, registry *prometheus.Registry) []metric {
	t.Helper()
	families, err := registry.Gather()
	require.NoError(t, err)
	kinds := map[string]string{}
	for _, f := range families {
		kinds[f.GetName()] = strings.ToLower(f.GetType().String())
	}
	described := make(chan *prometheus.Desc)
	go func() {
		defer close(described)
		registry.Describe(described)
	}()
	form := regexp.MustCompile(`^Desc\{fqName: "(.*?)", help: (".*"), constLabels: \{(.*)\}, variableLabels: \{(.*)\}\}$`)
	all := map[string]metric{}
	for d := range described {
		parts := form.FindStringSubmatch(d.String())
		require.NotNil(t, parts, d.String())
		name := parts[1]
		if !strings.HasPrefix(name, "audittrail_") {
			continue
		}
		kind := kinds[name]
		if strings.HasPrefix(name, "audittrail_kafka_") || name == "audittrail_ingest_lag_records" {
			kind = cmp.Or(kind, kindByName(name)) // whose brokers and partitions are not known before the first connection
		}
		require.NotEmpty(t, kind, "%s has no series before something happens: an alert would miss the first time", name)
		help := ""
		_, err := fmt.Sscanf(parts[2], "%q", &help)
		require.NoError(t, err, parts[2])
		require.NotEmpty(t, help, name)
		all[name] = metric{name, kind, labelsOf(parts[3], parts[4]), help}
	}
	return slices.SortedFunc(maps.Values(all), func(a, b metric) int { return cmp.Compare(a.name, b.name) })
}

func kindByName(name string) string {
	if strings.HasSuffix(name, "_total") {
		return "counter"
	}
	return "gauge"
}

// labelsOf names the labels; the constant ones come as name="value".
func labelsOf(constant, variable string) string {
	var names []string
	for _, list := range []string{constant, variable} {
		for _, label := range strings.FieldsFunc(list, func(r rune) bool { return r == ',' || r == ' ' }) {
			name, _, _ := strings.Cut(label, "=")
			names = append(names, "`"+name+"`")
		}
	}
	return strings.Join(names, ", ")
}

const metricsHead = `# Metrics

Generated from the program; do not edit. The operators' port serves them at ` + "`/metrics`" + `, in Prometheus' format; who asks for OpenMetrics gets exemplars of the durations too. Labels are bounded: none is an id. Every series is there from the start, at zero, but for those of brokers and partitions, and of topics that a pattern finds.

A process also has client_golang's ` + "`go_*` and `process_*`" + `. A histogram has three series: ` + "`_bucket`, `_sum` and `_count`" + `. A Kafka client has metrics of its own by its name: those of ` + "`audittrail_kafka_ingest_*`, which reads the records, there are as `audittrail_kafka_ingest_control_*`" + ` too, of the client that asks questions and publishes dead letters.

## Rate, errors and duration of each role
| role | rate | errors | duration |
|---|---|---|---|
| ` + "`ingest` | `audittrail_ingest_records_total` | `audittrail_ingest_append_errors_total`, `audittrail_ingest_stopped_partitions` | `audittrail_ingest_append_seconds`, `audittrail_ingest_delay_seconds`" + ` |
| ` + "`api` | `audittrail_http_request_seconds_count` | the same with `status` 5xx, `audittrail_access_log_failures_total` | `audittrail_http_request_seconds`" + ` |
| ` + "`replay` | `audittrail_replay_events_total` | the same with `outcome` failed | `audittrail_replay_send_seconds`" + ` |
| ` + "`analytics` | `audittrail_analytics_events_total` | `audittrail_analytics_failures_total` | `audittrail_analytics_seconds_total`" + ` |
| ` + "`maintain` | `audittrail_maintain_runs_total` | the same with `outcome` failed | `audittrail_maintain_seconds_total`" + ` |
| ` + "`notary` | `audittrail_notary_round_seconds_count` | the same with `outcome` failed or refused | `audittrail_notary_round_seconds`" + ` |
`
