package postgres_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"audittrail/platform/postgres"
)

func TestTransport(t *testing.T) {
	cert, _ := certificate(t, "db")
	ca := filepath.Join(t.TempDir(), "ca.pem")
	require.NoError(t, os.WriteFile(ca, []byte(cert), 0o600))
	for connection, want := range map[string]postgres.Security{
		"postgres://u@db/x":                                     postgres.Plain, // sslmode=prefer
		"postgres://u@db/x?sslmode=disable":                     postgres.Plain,
		"postgres://u@db/x?sslmode=allow":                       postgres.Plain,
		"postgres://u@db/x?sslmode=require":                     postgres.Unverified,
		"postgres://u@db/x?sslmode=require&sslrootcert=" + ca:   postgres.Safe, // libpq: as verify-ca
		"postgres://u@db/x?sslmode=verify-ca&sslrootcert=" + ca: postgres.Safe,
		"postgres://u@db/x?sslmode=verify-full":                 postgres.Safe,
		"host=db user=u":                                        postgres.Plain,
		"postgres://u@127.0.0.1/x":                              postgres.Safe,
		"postgres://u@localhost/x?sslmode=disable":              postgres.Safe,
		"postgres://u@[::1]/x":                                  postgres.Safe,
		"postgres://u@/x?host=/run/postgresql":                  postgres.Safe,
		"postgres://u@127.0.0.1,db/x?sslmode=disable":           postgres.Plain,
		"none": postgres.Safe,
	} {
		require.Equal(t, want, postgres.Transport(connection), connection)
	}
}
