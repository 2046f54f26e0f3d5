package postgres_test

import (
	"net/url"
	"testing"

	"github.com/stretchr/testify/require"

	"audittrail/platform/postgres"
)

func TestRoom(t *testing.T) {
	s := server(t)
	direct := s.URL("postgres")
	room, err := postgres.Room(t.Context(), open(t, postgres.PoolOptions{URL: direct, Name: "probe"}))
	require.NoError(t, err)
	require.Greater(t, room, 20)

	execute(t, direct, "CREATE ROLE app LOGIN PASSWORD 'app' CONNECTION LIMIT 2", "CREATE DATABASE narrow CONNECTION LIMIT 1")
	for database, want := range map[string]int{"postgres": 2, "narrow": 1} {
		u, err := url.Parse(s.URL(database))
		require.NoError(t, err)
		u.User = url.UserPassword("app", "app")
		pool := open(t, postgres.PoolOptions{URL: u.String(), Name: "probe"})
		room, err = postgres.Room(t.Context(), pool)
		require.NoError(t, err)
		require.Equal(t, want, room)
		for {
			_, err := postgres.Connect(t.Context(), postgres.PoolOptions{URL: u.String(), Name: "more"})
			if err != nil {
				requireRefused(t, err, "too_many_connections", "max_connections")
				break
			}
		}
		pool.Close()
	}
}
