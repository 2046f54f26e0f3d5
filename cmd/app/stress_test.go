package app

import (
	"context"
	"log/slog"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"audittrail/modules/migrate/migratetest"
	"audittrail/platform/auth/authtest"
	"audittrail/platform/lifecycle"
	"audittrail/platform/lifecycle/lifecycletest"
	"audittrail/platform/telemetry"
	"audittrail/platform/telemetry/buildinfo"
)

// TestEveryRolePassesTheStressTest plays each line of the table as `serve` builds it, gate included,
// with its parts there.
func TestEveryRolePassesTheStressTest(t *testing.T) {
	issuer := authtest.NewIssuer(t).Options()
	c, err := load(t, "--postgres.url="+migratetest.Database(t), "--kafka.brokers="+broker(t), "--kafka.topics=orders",
		"--http.addr=127.0.0.1:0", "--auth.issuer="+issuer.Issuer, "--auth.audience="+issuer.Audience, "--auth.jwks_file="+issuer.JWKSFile,
		"--ledger.origin="+origin, "--ledger.signing_key="+signingKey(t, 1).Secret(), "--notary.state_file="+filepath.Join(t.TempDir(), "notary.json"))
	require.NoError(t, err)
	for _, r := range table(c) {
		t.Run(r.name, func(t *testing.T) {
			lifecycletest.Stress(t, func() lifecycle.Role {
				p := &parts{cfg: c, log: slog.New(slog.DiscardHandler), listeners: &listeners{},
					metrics: telemetry.NewRegistry(buildinfo.Info{})}
				t.Cleanup(func() { p.close(context.Background()) })
				built, err := p.build(context.Background(), r)
				require.NoError(t, err)
				return built
			})
		})
	}
}
