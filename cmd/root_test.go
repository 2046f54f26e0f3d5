package cmd

import (
	"encoding/json"
	"errors"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"

	"audittrail/platform/config"
)

func TestWrongUsageEndsWithStatus2(t *testing.T) {
	tests := []struct {
		name string
		args []string
		want string
	}{
		{"unknown command", []string{"srve"}, `unknown command "srve" for "audittrail", did you mean serve?`},
		{"unknown subcommand", []string{"config", "chek"}, "did you mean check?"},
		{"unknown flag", []string{"serve", "--http.adr=x"}, "unknown flag: --http.adr, did you mean --http.addr?"},
		{"argument too many", []string{"version", "x"}, "unknown command"},
		{"value of a flag", []string{"version", "--output", "xml"}, "must be one of text, json"},
		{"value of a key", []string{"config", "print", "--shutdown.grace=soon"}, `shutdown.grace must be a duration such as 250ms, 10s or 24h, not "soon" (from flag --shutdown.grace)`},
		{"rule of a key", []string{"config", "print", "--log.level=loud"}, "log.level must be debug, info, warn or error (from flag --log.level)"},
		{"missing key", []string{"serve", "--roles=ingest"}, "postgres.url must be given"},
		{"missing file", []string{"config", "check", "--config=/nowhere.yaml"}, "/nowhere.yaml"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			status, stdout, stderr := invoke(t, tt.args...)
			require.Equal(t, statusUsage, status)
			require.Contains(t, stderr, tt.want)
			require.Empty(t, stdout)
		})
	}
}

func TestStatusOfErrors(t *testing.T) {
	require.Equal(t, statusFailed, statusOf(errors.New("x"), true))
	require.Equal(t, statusUsage, statusOf(errors.New("x"), false))
	require.Equal(t, statusUsage, statusOf(&config.Error{}, true))
	require.Equal(t, statusTampering, statusOf(&statusError{statusTampering, errors.New("x")}, true))
}

func TestVersion(t *testing.T) {
	status, stdout, _ := invoke(t, "version", "--output", "json")
	require.Equal(t, statusDone, status)
	var v map[string]string
	require.NoError(t, json.Unmarshal([]byte(stdout), &v))
	require.NotEmpty(t, v["go"])
	_, stdout, _ = invoke(t, "version")
	require.Contains(t, stdout, "audittrail ")
	status, flag, stderr := invoke(t, "--version")
	require.Equal(t, statusDone, status, stderr)
	require.Equal(t, stdout, flag)
}

func TestConfigPrint(t *testing.T) {
	file := filepath.Join(t.TempDir(), "audittrail.yaml")
	require.NoError(t, os.WriteFile(file, []byte("kafka: {topics: [orders, '^pay{1,2}$'], sasl: {mechanism: PLAIN, username: u, password: hunter2}, tls: {enabled: true}}\n"), 0o600))
	t.Setenv("AUDITTRAIL_POSTGRES_URL", "postgres://u:hunter2@db/x")
	args := []string{"config", "print", "--config", file, "--http.addr=:1"}
	status, stdout, stderr := invoke(t, append(args, "--output", "json")...)
	require.Equal(t, statusDone, status, stderr)
	require.NotContains(t, stdout, "hunter2")
	var values []struct {
		Key    string
		Value  any
		Origin string
	}
	require.NoError(t, json.Unmarshal([]byte(stdout), &values))
	got := map[string][2]any{}
	for _, v := range values {
		got[v.Key] = [2]any{v.Value, v.Origin}
	}
	require.Equal(t, [2]any{"postgres://u:********@db/x", "env AUDITTRAIL_POSTGRES_URL"}, got["postgres.url"])
	require.Equal(t, [2]any{[]any{"orders", "^pay{1,2}$"}, "file:" + file}, got["kafka.topics"])
	require.Equal(t, [2]any{"********", "file:" + file}, got["kafka.sasl.password"])
	require.Equal(t, [2]any{":1", "flag"}, got["http.addr"])
	require.Equal(t, [2]any{"info", "default"}, got["log.level"])
	require.Equal(t, [2]any{8.0, "default"}, got["postgres.max_conns"])

	_, stdout, _ = invoke(t, args...)
	require.Regexp(t, `(?m)^postgres\.url +postgres://u:\*{8}@db/x +env AUDITTRAIL_POSTGRES_URL$`, stdout)
	require.NotContains(t, stdout, "hunter2")
}

func TestConfigCheck(t *testing.T) {
	args := []string{"config", "check", "--roles=ingest", "--kafka.topics=orders"}
	status, _, stderr := invoke(t, args...)
	require.Equal(t, statusUsage, status)
	require.Contains(t, stderr, "postgres.url must be given")
	status, stdout, stderr := invoke(t, append(args, "--postgres.url=postgres://db/x")...)
	require.Equal(t, statusDone, status, stderr)
	require.Equal(t, "the configuration is complete\n", stdout)
}

func TestUnknownVariable(t *testing.T) {
	t.Setenv("AUDITTRAIL_HTTP_ADR", ":1")
	status, _, stderr := invoke(t, "config", "print")
	require.Equal(t, statusUsage, status)
	require.Contains(t, stderr, "AUDITTRAIL_HTTP_ADR is not known, did you mean AUDITTRAIL_HTTP_ADDR?")
}

// Not parallel: what a signal does belongs to the whole process.
func TestAClosedTerminalStopsUnlessIgnored(t *testing.T) {
	if signal.Ignored(syscall.SIGHUP) {
		t.Skip("the tests run under nohup")
	}
	require.Contains(t, stopSignals(), os.Signal(syscall.SIGHUP))
	signal.Ignore(syscall.SIGHUP)
	defer signal.Reset(syscall.SIGHUP)
	require.NotContains(t, stopSignals(), os.Signal(syscall.SIGHUP))
}
