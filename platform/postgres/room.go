package postgres

import (
	"context"

	"github.com/jackc/pgx/v5/pgxpool"
)

// roomSQL: 0 reserved ones and limits of -1 are none.
const roomSQL = `SELECT least(
		current_setting('max_connections')::int - current_setting('superuser_reserved_connections')::int,
		(SELECT nullif(rolconnlimit, -1) FROM pg_catalog.pg_roles WHERE rolname = session_user),
		(SELECT nullif(datconnlimit, -1) FROM pg_catalog.pg_database WHERE datname = current_database()))`

// Room returns how many connections the server has for the pool's login, those that are in use included.
func Room(ctx context.Context, pool *pgxpool.Pool) (n int, err error) {
	err = pool.QueryRow(ctx, roomSQL).Scan(&n)
	return n, err
}
