package store

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"audittrail/modules/event"
	"audittrail/platform/errs"
)

// By event_keys' primary key.
const keySQL = `SELECT batch, timestamp FROM event_keys WHERE event_id = $1`

// By events' primary key, in the one partition that the timestamp's literal names.
const byKeySQL = `SELECT ` + eventColumns + `, ` + positionColumn + ` FROM events AS e
	WHERE timestamp = '%s' AND id BETWEEN $1::bigint AND $2::bigint AND event_id = $3::uuid`

// Event answers the event of this id. There are two statements, since a join would probe all partitions.
func (r *Reader) Event(ctx context.Context, id event.ID) (event.Stored, error) {
	var found event.Stored
	err := r.read(ctx, "read event", func(ctx context.Context, conn *pgx.Conn) error {
		var (
			batch int64
			at    time.Time
		)
		err := conn.QueryRow(ctx, keySQL, [16]byte(id)).Scan(&batch, &at)
		if errors.Is(err, pgx.ErrNoRows) {
			return errNoEvent
		}
		if err != nil {
			return err
		}
		page := &collector{limit: 1, bytes: r.pageBytes}
		first := batch << indexBits
		err = collect(ctx, conn, page, fmt.Sprintf(byKeySQL, event.FormatTime(at)), first, first|indexMask, id.String())
		if err != nil {
			return err
		}
		if len(page.rows) == 0 { // archived: its key stays for ever
			return errNoEvent
		}
		found = page.rows[0].stored
		return nil
	})
	return found, err
}

var errNoEvent = errs.New(errs.NotFound, "not_found", "there is no event with this id")
