package httpserver

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/require"

	"audittrail/platform/lifecycle"
)

// runAdmin serves an operators' port and gives its URL.
func runAdmin(t *testing.T, opts AdminOptions, deps AdminDeps) (*Admin, string) {
	t.Helper()
	opts.Addr = "127.0.0.1:0"
	deps.Log = slog.New(slog.DiscardHandler)
	if deps.Metrics == nil {
		deps.Metrics = prometheus.NewRegistry()
	}
	if deps.Status == nil {
		deps.Status = func(context.Context) []lifecycle.Status { return nil }
	}
	if deps.Started == nil {
		deps.Started = func() bool { return true }
	}
	a := NewAdmin(opts, deps)
	addr, err := a.Listen(context.Background())
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(context.Background())
	served := make(chan error, 1)
	go func() { served <- a.Serve(ctx) }()
	t.Cleanup(func() {
		cancel()
		require.NoError(t, <-served)
	})
	return a, "http://" + addr.String()
}

func probe(t *testing.T, url string) (int, string) {
	t.Helper()
	req, err := http.NewRequestWithContext(context.Background(), http.MethodGet, url, nil)
	require.NoError(t, err)
	req.Close = true // leave no idle connection behind
	res, err := http.DefaultTransport.RoundTrip(req)
	require.NoError(t, err)
	defer func() { _ = res.Body.Close() }()
	body, err := io.ReadAll(res.Body)
	require.NoError(t, err)
	require.Equal(t, "nosniff", res.Header.Get("X-Content-Type-Options"))
	return res.StatusCode, string(body)
}

func TestProbes(t *testing.T) {
	var started, kafka atomic.Bool
	a, url := runAdmin(t, AdminOptions{}, AdminDeps{
		Started: started.Load,
		Status: func(context.Context) []lifecycle.Status {
			s := []lifecycle.Status{{Role: "ingest", Ready: kafka.Load()}, {Role: "api", Ready: true}}
			if !s[0].Ready {
				s[0].Err = errors.New("kafka://u:hush@h does not answer")
			}
			return s
		},
	})
	expect := func(path string, status int, body string) {
		t.Helper()
		gotStatus, gotBody := probe(t, url+path)
		require.Equal(t, status, gotStatus, path)
		require.JSONEq(t, body, gotBody)
	}
	expect("/livez", 200, `{"live":true}`)
	expect("/startupz", 503, `{"started":false}`)
	started.Store(true)
	expect("/startupz", 200, `{"started":true}`)
	expect("/readyz", 503, `{"ready":false,"stopping":false,"roles":[
		{"role":"ingest","ready":false,"reason":"kafka://u:********@h does not answer"},{"role":"api","ready":true}]}`)
	kafka.Store(true)
	expect("/readyz", 200, `{"ready":true,"stopping":false,"roles":[{"role":"ingest","ready":true},{"role":"api","ready":true}]}`)
	a.Stopping()
	expect("/readyz", 503, `{"ready":false,"stopping":true,"roles":[{"role":"ingest","ready":true},{"role":"api","ready":true}]}`)
	expect("/livez", 200, `{"live":true}`)
}

func TestReadyzAnswersBeforeTheProbeGivesUp(t *testing.T) {
	_, url := runAdmin(t, AdminOptions{}, AdminDeps{Status: func(ctx context.Context) []lifecycle.Status {
		deadline, ok := ctx.Deadline()
		if !ok || time.Until(deadline) > time.Second {
			return []lifecycle.Status{{Role: "x", Ready: true}}
		}
		return []lifecycle.Status{{Role: "x", Err: errors.New("asked with a deadline")}}
	}})
	status, body := probe(t, url+"/readyz")
	require.Equal(t, 503, status)
	require.Contains(t, body, "asked with a deadline")
}

func TestMetricsAndPprof(t *testing.T) {
	reg := prometheus.NewRegistry()
	reg.MustRegister(prometheus.NewCounter(prometheus.CounterOpts{Name: "a_total", Help: "x"}))
	_, url := runAdmin(t, AdminOptions{}, AdminDeps{Metrics: reg})
	status, body := probe(t, url+"/metrics")
	require.Equal(t, 200, status)
	require.Contains(t, body, "a_total 0")
	for _, path := range []string{"/debug/pprof/", "/debug/pprof/heap", "/debug/pprof/cmdline", "/"} {
		status, _ = probe(t, url+path)
		require.Equal(t, 404, status, path)
	}

	_, url = runAdmin(t, AdminOptions{Pprof: true}, AdminDeps{})
	status, _ = probe(t, url+"/debug/pprof/heap")
	require.Equal(t, 200, status)
	status, _ = probe(t, url+"/debug/pprof/cmdline")
	require.Equal(t, 404, status)
}

func TestAdminAddressThatIsTaken(t *testing.T) {
	_, url := runAdmin(t, AdminOptions{}, AdminDeps{})
	a := NewAdmin(AdminOptions{Addr: url[len("http://"):]}, AdminDeps{Log: slog.New(slog.DiscardHandler), Metrics: prometheus.NewRegistry()})
	_, err := a.Listen(context.Background())
	require.ErrorContains(t, err, "admin.addr: ")
}

func TestAdminOptions(t *testing.T) {
	require.NoError(t, AdminOptions{Addr: ":9090"}.Validate())
	require.ErrorContains(t, AdminOptions{Addr: "9090"}.Validate(), "addr must be")
	require.ErrorContains(t, AdminOptions{Addr: "127.0.0.1:99999"}.Validate(), "addr must be")
	require.ErrorContains(t, AdminOptions{Addr: ":metrics"}.Validate(), "addr must be")
	require.NoError(t, AdminOptions{Addr: "[::1]:0"}.Validate())
	require.ErrorContains(t, AdminOptions{Addr: ":1", TLS: AdminTLSOptions{Key: "k"}}.Validate(), "tls.cert needs")
	a := NewAdmin(AdminOptions{Addr: ":0", TLS: AdminTLSOptions{Cert: "/none", Key: "/none"}}, AdminDeps{Log: slog.New(slog.DiscardHandler), Metrics: prometheus.NewRegistry()})
	_, err := a.Listen(context.Background())
	require.ErrorContains(t, err, "admin.tls.cert and admin.tls.key")
}

func TestReadyzShowsNotesOfARoleThatIsReady(t *testing.T) {
	_, url := runAdmin(t, AdminOptions{}, AdminDeps{Status: func(context.Context) []lifecycle.Status {
		return []lifecycle.Status{{Role: "ingest", Ready: true, Notes: []string{"topic x does not\nexist, see kafka://u:hush@h"}}}
	}})
	status, body := probe(t, url+"/readyz")
	require.Equal(t, 200, status)
	require.JSONEq(t, `{"ready":true,"stopping":false,"roles":[{"role":"ingest","ready":true,
		"notes":["topic x does not exist, see kafka://u:********@h"]}]}`, body)
}

func TestReadyzOfOneRole(t *testing.T) {
	roles := map[string]lifecycle.Status{
		"api":    {Role: "api", Ready: true, Notes: []string{"a note"}},
		"ingest": {Role: "ingest", Err: errors.New("kafka is away")},
	}
	a, url := runAdmin(t, AdminOptions{}, AdminDeps{
		Roles: []string{"ingest", "api", "notary"},
		StatusOf: func(_ context.Context, role string) (lifecycle.Status, bool) {
			s, ok := roles[role]
			return s, ok
		},
		Status: func(context.Context) []lifecycle.Status { panic("the other roles are asked") },
	})
	expect := func(path string, status int, body string) {
		t.Helper()
		gotStatus, gotBody := probe(t, url+path)
		require.Equal(t, status, gotStatus, path)
		require.JSONEq(t, body, gotBody)
	}
	expect("/readyz/api", 200, `{"role":"api","ready":true,"stopping":false,"notes":["a note"]}`)
	expect("/readyz/ingest", 503, `{"role":"ingest","ready":false,"stopping":false,"reason":"kafka is away"}`)
	expect("/readyz/notary", 404, `{"role":"notary","reason":"this process does not run the role; add it to roles, or ask a process that does"}`)
	expect("/readyz/admin", 404, `{"reason":"no such role; the roles are ingest, api, notary"}`)
	a.Stopping()
	expect("/readyz/api", 503, `{"role":"api","ready":false,"stopping":true,"reason":"stopping","notes":["a note"]}`)
	expect("/readyz/notary", 404, `{"role":"notary","reason":"this process does not run the role; add it to roles, or ask a process that does"}`)
}
