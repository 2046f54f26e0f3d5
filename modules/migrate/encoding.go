package migrate

import (
	"context"

	"audittrail/platform/errs"
)

// checkEncoding refuses a database that can't keep every text as it was sent. Its encoding never changes.
func checkEncoding(ctx context.Context, db Queryer) error {
	var encoding string
	err := db.QueryRow(ctx, `SELECT pg_catalog.current_setting('server_encoding')`).Scan(&encoding)
	switch {
	case err != nil:
		return errs.New(errs.Unavailable, "schema_unknown", "the database's encoding can't be read").Because(err)
	case encoding != "UTF8":
		return errs.New(errs.Unavailable, "database_encoding", "the database's encoding is %s and must be UTF8: "+
			"make another with CREATE DATABASE ... ENCODING 'UTF8' TEMPLATE template0 and set postgres.url to it", encoding)
	}
	return nil
}
