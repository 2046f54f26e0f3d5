package postgres_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"audittrail/platform/postgres"
)

// Values are read and written alike, whatever the login has as defaults.
func TestPoolPinsSettings(t *testing.T) {
	s := server(t)
	url := s.URL("postgres")
	pinned := []struct{ name, other, want string }{
		{"client_encoding", "LATIN1", "UTF8"},
		{"datestyle", "SQL, DMY", "ISO, MDY"},
		{"intervalstyle", "iso_8601", "postgres"},
		{"timezone", "Asia/Tokyo", "UTC"},
		{"bytea_output", "escape", "hex"},
		{"extra_float_digits", "-5", "1"},
		{"standard_conforming_strings", "off", "on"},
		{"array_nulls", "off", "on"},
		{"transform_null_equals", "on", "off"},
		{"row_security", "off", "on"},
		{"default_transaction_isolation", "serializable", "read committed"},
	}
	for _, p := range pinned {
		execute(t, url, "ALTER ROLE postgres SET "+p.name+" = '"+p.other+"'")
	}
	execute(t, url, "ALTER ROLE postgres SET datestyle = SQL, DMY")
	pool := open(t, postgres.PoolOptions{URL: url, Name: "pinned"})
	for _, p := range pinned {
		require.Equal(t, p.want, show(t, pool, "SHOW "+p.name), p.name)
	}
}
