package store

import (
	"context"
	"fmt"
)

// installationSQL identifies the database: by the id that its migration drew, and by which database of which
// server it is, since a copy of it (pg_restore beside the original, CREATE DATABASE … TEMPLATE) has the drawn id
// too.
const installationSQL = `SELECT sha256(convert_to(concat_ws(' ', i.id, s.system_identifier, d.oid), 'UTF8'))
	FROM installation AS i, pg_control_system() AS s, pg_database AS d WHERE d.datname = current_database()`

// Installation returns the id of the database that this appender writes to. Two databases have two ids; a standby
// that was promoted has the id of its primary.
func (a *Appender) Installation(ctx context.Context) ([16]byte, error) {
	var sum []byte
	if err := a.pool.QueryRow(ctx, installationSQL).Scan(&sum); err != nil {
		return [16]byte{}, fmt.Errorf("read the installation's id: %w", err)
	}
	return [16]byte(sum), nil
}
