package store

import (
	"context"
	"fmt"
)

const (
	// installationSQL identifies the database: by the id that its migration drew, and by which database of which
	// server it is, since a copy of it (pg_restore beside the original, CREATE DATABASE … TEMPLATE) has the drawn id
	// too.
	installationSQL = `SELECT sha256(convert_to(concat_ws(' ', i.id, s.system_identifier, d.oid), 'UTF8'))
		FROM installation AS i, pg_control_system() AS s, pg_database AS d WHERE d.datname = current_database()`

	// Where an administrator has closed pg_control_system, the server stays out of it.
	installationBySelfSQL = `SELECT sha256(convert_to(concat_ws(' ', i.id, d.oid), 'UTF8'))
		FROM installation AS i, pg_database AS d WHERE d.datname = current_database()`
	mayAskServerSQL = `SELECT has_function_privilege('pg_catalog.pg_control_system()', 'EXECUTE')`
)

// Installation returns the id of the database that this appender writes to. Two databases have two ids; a standby
// that was promoted has the id of its primary.
func (a *Appender) Installation(ctx context.Context) ([16]byte, error) {
	var (
		may bool
		sum []byte
	)
	err := a.pool.QueryRow(ctx, mayAskServerSQL).Scan(&may)
	if err == nil {
		sql := installationBySelfSQL
		if may {
			sql = installationSQL
		}
		err = a.pool.QueryRow(ctx, sql).Scan(&sum)
	}
	if err != nil {
		return [16]byte{}, fmt.Errorf("read the installation's id: %w", err)
	}
	return [16]byte(sum), nil
}
