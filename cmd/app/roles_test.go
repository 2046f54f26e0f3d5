package app

import (
	"maps"
	"net/http"
	"regexp"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"audittrail/modules/migrate/migratetest"
	"audittrail/modules/store"
)

// A process opens the pools of its roles' rows, beside the one that asks whether the schema fits, and no others.
func TestARoleOpensWhatItsRowSays(t *testing.T) {
	label := regexp.MustCompile(`audittrail_db_pool_connections\{pool="([^"]+)"`)
	for _, r := range table(Config{}) {
		t.Run(r.name, func(t *testing.T) {
			t.Parallel()
			p := start(t, "--roles="+r.name, "--postgres.url="+migratetest.Database(t), "--kafka.brokers=127.0.0.1:1", "--kafka.topics=orders")
			code, metrics := p.get("admin", "/metrics")
			require.Equal(t, http.StatusOK, code)
			opened := map[string]bool{}
			for _, found := range label.FindAllStringSubmatch(metrics, -1) {
				opened[found[1]] = true
			}
			want := []string{"probe"}
			for _, pool := range r.pools {
				want = append(want, pool.Name)
			}
			require.ElementsMatch(t, want, slices.Collect(maps.Keys(opened)))
			require.NoError(t, p.stop())
		})
	}
}

func TestIngestHasTheNameByWhichStalledTransactionsAreEnded(t *testing.T) {
	require.Equal(t, store.IngestApplication, "audittrail-"+table(Config{})[0].pools[0].Name)
}
