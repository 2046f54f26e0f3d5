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

// A process opens the pools of its roles' rows, beside those that ask whether the schemas fit, and no others.
func TestARoleOpensWhatItsRowSays(t *testing.T) {
	label := regexp.MustCompile(`audittrail_db_pool_connections\{pool="([^"]+)"`)
	database := migratetest.Database(t)
	for _, sealing := range []struct {
		name  string
		flags []string
		keys  func(r role) bool // whether the role opens its pools to the keys
	}{
		{"plain", nil, func(role) bool { return false }},
		{"sealing", []string{kekURL}, func(r role) bool { return r.needs.keyring }},
		{"keys apart", []string{kekURL, "--encryption.keys_url=" + database}, func(role) bool { return true }},
	} {
		for _, r := range table(Config{}) {
			t.Run(sealing.name+"/"+r.name, func(t *testing.T) {
				t.Parallel()
				p := start(t, append(sealing.flags, "--roles="+r.name, "--postgres.url="+database, "--kafka.brokers=127.0.0.1:1", "--kafka.topics=orders")...)
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
				if sealing.keys(r) {
					for _, pool := range r.keys {
						want = append(want, pool.Name)
					}
				}
				if sealing.name == "keys apart" {
					want = append(want, "keys-probe")
				}
				require.ElementsMatch(t, want, slices.Collect(maps.Keys(opened)))
				require.NoError(t, p.stop())
			})
		}
	}
}

func TestIngestHasTheNameByWhichStalledTransactionsAreEnded(t *testing.T) {
	require.Equal(t, store.IngestApplication, "audittrail-"+table(Config{})[0].pools[0].Name)
}
