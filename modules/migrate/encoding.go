package migrate

import (
	"context"

	"audittrail/platform/errs"
)

// refuseEncoding looks at the database on a connection of its own, before the migrations' one leaves a table
// there. What only takes away, or records what is there, may work on any database.
func refuseEncoding(ctx context.Context, opts Options) error {
	conn, err := connect(ctx, opts)
	if err != nil {
		return err
	}
	defer conn.Close(context.WithoutCancel(ctx)) //nolint:errcheck // it only read
	return checkEncoding(ctx, conn)
}

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
