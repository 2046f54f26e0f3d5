package postgres_test

import (
	"net/url"
	"testing"

	"github.com/stretchr/testify/require"

	"audittrail/platform/postgres"
)

func TestALoginWithoutTheRoleIsToldOfTheGrant(t *testing.T) {
	s := server(t)
	direct := s.URL("postgres")
	execute(t, direct, "CREATE ROLE audittrail_api", "CREATE ROLE app LOGIN PASSWORD 'app'")
	u, err := url.Parse(direct)
	require.NoError(t, err)
	u.User = url.UserPassword("app", "app")
	for role, code := range map[string]string{"audittrail_api": "role_not_granted", "audittrail_ingest": "role_missing"} {
		_, err = open(t, postgres.PoolOptions{URL: u.String(), Name: "api", Role: role}).Exec(t.Context(), "SELECT 1")
		require.Error(t, err)
		refused := postgres.Refused(err)
		require.NotNil(t, refused, "%v", err)
		require.Equal(t, code, refused.Code)
		require.Contains(t, refused.Detail, role)
		require.Contains(t, refused.Detail, "audittrail migrate")
	}
}

func TestAReplicationRoleThatSilencesTriggersIsRefused(t *testing.T) {
	s := server(t)
	direct := s.URL("postgres")
	execute(t, direct, "ALTER ROLE postgres SET session_replication_role = replica")
	_, err := open(t, postgres.PoolOptions{URL: direct, Name: "ingest"}).Exec(t.Context(), "SELECT 1")
	require.ErrorContains(t, err, "session_replication_role")
}

// A password that rotates is read again for each new connection.
func TestARotatedPasswordIsTaken(t *testing.T) {
	s := server(t)
	direct := s.URL("postgres")
	execute(t, direct, "CREATE ROLE app LOGIN PASSWORD 'first'")
	with := func(password string) string {
		u, err := url.Parse(direct)
		require.NoError(t, err)
		u.User = url.UserPassword("app", password)
		return u.String()
	}
	now := with("wrong")
	pool := open(t, postgres.PoolOptions{URL: with("wrong"), Name: "rotated", Fresh: func() string { return now }})
	require.Error(t, pool.Ping(t.Context()))
	now = with("first")
	require.NoError(t, pool.Ping(t.Context()))
	execute(t, direct, "ALTER ROLE app PASSWORD 'second'")
	now = with("second")
	pool.Reset()
	require.NoError(t, pool.Ping(t.Context()))
}
