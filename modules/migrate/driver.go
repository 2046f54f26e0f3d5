package migrate

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/golang-migrate/migrate/v4/database"
	pgxmigrate "github.com/golang-migrate/migrate/v4/database/pgx/v5"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/stdlib"

	"audittrail/platform/errs"
)

// driver is the library's, with three properties added: a migration and the record of its version
// commit together, so that one that fails or loses its connection leaves the version that the database
// had (and is never "dirty"), and one that would drop rows is refused.
type driver struct {
	database.Driver
	db          *sql.DB
	backend     *pgconn.PgConn // of the one connection, to cancel what it does
	all         []int
	destroyData bool

	before   int  // the version before the migration that runs; -1 for none
	target   int  // the version that it leads to
	recorded bool // it was committed, with its version
}

func openDriver(ctx context.Context, config *pgx.ConnConfig, all []int, destroyData bool) (*driver, error) {
	d := &driver{all: all, destroyData: destroyData, before: -1}
	d.db = stdlib.OpenDB(*config, stdlib.OptionAfterConnect(func(_ context.Context, conn *pgx.Conn) error {
		d.backend = conn.PgConn()
		return nil
	}))
	d.db.SetMaxOpenConns(1)
	if err := d.db.PingContext(ctx); err != nil {
		return nil, errors.Join(fmt.Errorf("connect: %w", orRefused(err)), d.db.Close())
	}
	release := context.AfterFunc(ctx, d.cancel) // the library waits for its lock here, too
	defer release()
	var err error
	d.Driver, err = pgxmigrate.WithInstance(d.db, &pgxmigrate.Config{SchemaName: "public"})
	if err != nil {
		return nil, errors.Join(serverError(err), d.db.Close())
	}
	return d, nil
}

// cancel asks the server to give up the statement that runs. It may be called from any goroutine.
func (d *driver) cancel() {
	ctx, done := context.WithTimeout(context.Background(), 5*time.Second)
	defer done()
	_ = d.backend.CancelRequest(ctx) // in vain: then the statement runs to its end
}

// SetVersion is called before (dirty) and after (clean) each migration. It writes nothing then, since Run
// does: a mark that is written before would outlive a migration that was rolled back. It writes what Force
// says.
func (d *driver) SetVersion(version int, dirty bool) error {
	switch {
	case dirty:
		before, _, err := d.Version()
		if err != nil {
			return err
		}
		d.before, d.target, d.recorded = before, version, false
		return nil
	case d.recorded:
		return nil
	}
	return d.Driver.SetVersion(version, dirty)
}

// lost reports whether the connection is gone. The library's lock and the open transaction went with it.
func (d *driver) lost() bool { return d.backend.IsClosed() }

// Unlock gives the library's lock back.
func (d *driver) Unlock() error {
	if err := d.Driver.Unlock(); err != nil && !d.lost() {
		return serverError(err)
	}
	return nil
}

// Close ends the connection.
func (d *driver) Close() error {
	lost := d.lost() // before it is closed on purpose
	if err := d.Driver.Close(); err != nil && !lost {
		return err
	}
	return nil
}

// Run runs one migration, a file of the form BEGIN; … COMMIT;.
func (d *driver) Run(migration io.Reader) error {
	content, err := io.ReadAll(migration)
	if err != nil {
		return err
	}
	statements, err := d.complete(string(content))
	if err != nil {
		return errors.Join(err, d.restore())
	}
	if err := d.Driver.Run(strings.NewReader(statements)); err != nil {
		return errors.Join(d.failure(err), d.restore())
	}
	d.recorded = true
	return nil
}

// complete puts what belongs to the same transaction behind the file's BEGIN and before its COMMIT.
func (d *driver) complete(file string) (string, error) {
	head, body, begun := cutBegin(file)
	body, ended := strings.CutSuffix(strings.TrimSpace(body), "COMMIT;")
	if !begun || !ended {
		return "", fmt.Errorf("migration to version %d: the file is not of the form BEGIN; … COMMIT", d.target)
	}
	guard, check := "", ""
	if d.target < d.before && !d.destroyData {
		guard, check = rememberOccupied, refuseDropped
	}
	return head + "BEGIN;" + guard + body + check + record(d.target) + "COMMIT;", nil
}

// cutBegin cuts file at its first line that is no comment, which has to be BEGIN;.
func cutBegin(file string) (head, body string, found bool) {
	at := 0
	for line := range strings.Lines(file) {
		switch text := strings.TrimSpace(line); {
		case text == "BEGIN;":
			return file[:at], "\n" + file[at+len(line):], true
		case text != "" && !strings.HasPrefix(text, "--"):
			return "", "", false
		}
		at += len(line)
	}
	return "", "", false
}

// restore ends the transaction of a migration that failed.
func (d *driver) restore() error {
	if err := d.Driver.Run(strings.NewReader("ROLLBACK")); err != nil && !d.lost() {
		return fmt.Errorf("roll back: %w", serverError(err))
	}
	return nil
}

// failure is why a migration failed: the guard's answer, or the server's.
func (d *driver) failure(err error) error {
	err = serverError(err)
	var failed *pgconn.PgError
	if errors.As(err, &failed) && failed.Code == codeOccupied {
		return errs.New(errs.Conflict, codeDataLoss, "refused, and nothing was changed: these tables hold rows and would be dropped, or a column of them: %s "+
			"(--destroy-data drops them)", failed.Message)
	}
	if d.lost() {
		return errs.New(errs.Unavailable, "connection_lost", "the connection to the database was lost in the migration from version %d to %d, "+
			"which was applied as a whole or not at all: run the command again", max(d.before, 0), max(d.target, 0)).Because(err)
	}
	return fmt.Errorf("from version %d to %d, rolled back: %w", max(d.before, 0), max(d.target, 0), err)
}

// codeDataLoss is the public code of a refusal.
const codeDataLoss = "data_would_be_lost"

// serverError digs out what the server said. The library's error neither unwraps to it nor spares the
// reader the whole file.
func serverError(err error) error {
	switch library := err.(type) { //nolint:errorlint // what it is joined with must not be lost
	case *database.Error:
		if library.OrigErr != nil {
			return library.OrigErr
		}
	case database.Error:
		if library.OrigErr != nil {
			return library.OrigErr
		}
	}
	return err
}
