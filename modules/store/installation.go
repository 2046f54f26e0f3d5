package store

import (
	"context"
	"fmt"
)

const (
	// installationSQL identifies the database by the id that its migration drew, and by the server and the database's
	// oid. A copy (pg_restore beside the original, CREATE DATABASE … TEMPLATE) has the same drawn id.
	installationSQL = `SELECT sha256(convert_to(concat_ws(' ', i.id, s.system_identifier, d.oid), 'UTF8'))
		FROM installation AS i, pg_control_system() AS s, pg_database AS d WHERE d.datname = current_database()`

	// For a server whose administrator has revoked pg_control_system: without the server's own id.
	installationBySelfSQL = `SELECT sha256(convert_to(concat_ws(' ', i.id, d.oid), 'UTF8'))
		FROM installation AS i, pg_database AS d WHERE d.datname = current_database()`
	mayAskServerSQL = `SELECT has_function_privilege('pg_catalog.pg_control_system()', 'EXECUTE')`
)

// Installation returns the id of the database that this appender writes to. Two databases have different ids. A
// promoted standby has the id of its primary.
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
