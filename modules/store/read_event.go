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

// Event answers the event of this id.
func (r *Reader) Event(ctx context.Context, id event.ID) (event.Stored, error) {
	found, err := r.cachedRow(ctx, id)
	if err != nil {
		return event.Stored{}, err
	}
	shown, err := r.shown(ctx, []row{found})
	if err != nil {
		return event.Stored{}, err
	}
	return shown[0], nil
}

// CursorBehind answers the cursor with which a list begins behind an event, whether that fits the filter or not.
func (r *Reader) CursorBehind(ctx context.Context, id event.ID, f Filter, order Order) (string, error) {
	found, err := r.row(ctx, id)
	if err != nil {
		return "", err
	}
	position := found.stored.Position
	if s := seatOf(ctx); s != nil {
		position = max(position, s.needed())
	}
	return r.cursorOf(ctx, key{found.stored.Timestamp, found.id}, order, f, position), nil
}

// row answers the row of this id. There are two statements, since a join would probe all partitions.
func (r *Reader) row(ctx context.Context, id event.ID) (found row, err error) {
	err = r.read(ctx, "read event", func(ctx context.Context, conn *pgx.Conn) error {
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
		if err := byKey(id, batch, at).readInto(ctx, conn, page); err != nil {
			return err
		}
		if len(page.rows) == 0 { // archived: its key stays for ever
			return errNoEvent
		}
		found = page.rows[0]
		return nil
	})
	return found, err
}

// byKey selects one event. The statement is the same for every event, so it is prepared: to read its text each time
// would take longer than to run it. PostgreSQL goes on planning it for its values, and so for one partition, as long
// as there are many partitions.
func byKey(id event.ID, batch int64, at time.Time) *selection {
	where := &conditions{}
	where.add("timestamp = %s", at)
	first := batch << indexBits
	where.add("id >= %s", first)
	where.add("id <= %s", first|indexMask)
	where.add("event_id = %s", [16]byte(id))
	return &selection{branches: []string{"true"}, where: where, limit: 1, prepared: true}
}

// branchOf is where a batch's events of one time lie: by events' primary key, in the one partition that the
// timestamp's literal names.
func branchOf(batch int64, at time.Time) string {
	first := batch << indexBits
	return fmt.Sprintf("timestamp = '%s' AND id BETWEEN %d AND %d", event.FormatTime(at), first, first|indexMask)
}

var errNoEvent = errs.New(errs.NotFound, "not_found", "there is no event with this id")
