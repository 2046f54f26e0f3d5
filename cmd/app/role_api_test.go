package app

import (
	"context"
	"io"
	"log/slog"
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"audittrail/modules/migrate/migratetest"
	"audittrail/platform/auth/authtest"
	"audittrail/platform/lifecycle"
	"audittrail/platform/telemetry"
	"audittrail/platform/telemetry/buildinfo"
)

func TestTheAPIsHealth(t *testing.T) {
	t.Parallel()
	trust := authtest.NewIssuer(t).Options()
	c, err := load(t, "--roles=api", "--postgres.url="+migratetest.Database(t), "--http.addr=127.0.0.1:0",
		"--auth.issuer="+trust.Issuer, "--auth.audience="+trust.Audience, "--auth.jwks_file="+trust.JWKSFile)
	require.NoError(t, err)
	build := func() (lifecycle.Role, error) {
		p := &parts{cfg: c, log: slog.New(slog.DiscardHandler), listeners: &listeners{}, metrics: telemetry.NewRegistry(buildinfo.Info{})}
		t.Cleanup(func() { p.close(context.Background()) })
		return p.build(t.Context(), chosen(c)[0])
	}
	role, err := build()
	require.NoError(t, err)
	require.ErrorContains(t, role.Health(t.Context()), "no keys", "nothing was read yet")

	ctx, cancel := context.WithCancel(t.Context())
	var running sync.WaitGroup
	running.Go(func() { _ = role.Run(ctx, func() {}) })
	require.Eventually(t, func() bool { return role.Health(ctx) == nil }, patience, 20*time.Millisecond)
	cancel()
	running.Wait()

	c.Auth.Audience = ""
	_, err = build()
	require.ErrorContains(t, err, "auth.audience")
}

// What the configuration says of the API reaches it, and the handler sets of all modules are served.
func TestTheAPIIsAsConfigured(t *testing.T) {
	for public, status := range map[string]int{"true": http.StatusNotFound, "false": http.StatusUnauthorized} {
		t.Run("ledger.public="+public, func(t *testing.T) {
			t.Parallel()
			p := start(t, "--roles=api", "--postgres.url="+migratetest.Database(t), "--ledger.public="+public)
			p.until("api", "/v1/events", http.StatusOK, "items")
			p.token = ""
			for path, want := range map[string]int{
				"/v1/ledger/events/checkpoint": status, "/v1/ledger/events/tile/0/000": status,
				"/v1/events": http.StatusUnauthorized, "/openapi.json": http.StatusOK, "/docs": http.StatusOK, "/docs/start.js": http.StatusOK,
			} {
				got, body := p.get("api", path)
				require.Equal(t, want, got, "%s: %s", path, body)
			}
			require.NoError(t, p.stop())
		})
	}
}

// Feeds that wait are answered when the program stops, and not cut off.
func TestShutdownEndsTheWaitOfFeeds(t *testing.T) {
	t.Parallel()
	p := start(t, "--roles=api", "--postgres.url="+migratetest.Database(t), "--http.max_requests=4")
	p.until("admin", "/readyz", http.StatusOK, "")
	type answer struct {
		body string
		err  error
	}
	answers := make(chan answer, 3)
	for range cap(answers) { // two wait, and the third is held for a second
		r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+p.addrs["api"]+"/v1/feed?wait=30", nil)
		require.NoError(t, err)
		r.Header.Set("Authorization", "Bearer "+p.token)
		r.Close = true
		go func() {
			response, err := http.DefaultTransport.RoundTrip(r)
			if err != nil {
				answers <- answer{"", err}
				return
			}
			defer response.Body.Close()
			body, err := io.ReadAll(response.Body)
			answers <- answer{string(body), err}
		}()
	}
	const none = `{"items":[],"nextCursor":null,"scannedTo":-1}`
	require.Equal(t, answer{none, nil}, <-answers, "so the others wait")
	require.Empty(t, answers)
	require.NoError(t, p.stop())
	for range 2 {
		require.Equal(t, answer{none, nil}, <-answers)
	}
}
