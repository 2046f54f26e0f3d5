// Package migrations holds the numbered SQL files that make the database's schema, embedded into the
// binary. It holds no code: modules/migrate runs them.
//
// Each file is one transaction (BEGIN; … COMMIT;), so that a migration that fails changes nothing. An
// up file says what holds and why; its down file undoes it, and never drops a database role, which
// belongs to the cluster and not to the database.
package migrations

import "embed"

// Files are NNNN_name.up.sql and NNNN_name.down.sql.
//
//go:embed *.sql
var Files embed.FS
