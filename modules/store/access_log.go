package store

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"audittrail/modules/event"
	"audittrail/modules/ledger"
	"audittrail/platform/errs"
)

// AccessEntry is an entry of the access log, to be stored: its canonical form without the position, which is what its
// leaf is computed over.
type AccessEntry struct {
	Time      time.Time
	Canonical []byte
}

// AccessLog writes the access log. It is safe for concurrent use, but gains nothing by it: its caller gathers entries.
type AccessLog struct {
	pool   *pgxpool.Pool
	months *months
}

// NewAccessLog makes an AccessLog. pool is of the role audittrail_api, with synchronous_commit on.
func NewAccessLog(pool *pgxpool.Pool) *AccessLog {
	return &AccessLog{pool: pool, months: newMonths("access_log")}
}

const (
	// One statement, and so one transaction and one COMMIT: the entries, and the batch in the queue of those that
	// wait for their positions.
	appendAccessSQL = `
		WITH drawn AS (SELECT nextval('access_batches') AS batch),
		     stored AS (INSERT INTO access_log (id, time, entry)
			SELECT batch << 14 | (n - 1), time, entry::jsonb
			FROM drawn, unnest($1::timestamptz[], $2::text[]) WITH ORDINALITY AS e (time, entry, n))
		INSERT INTO ledger_pending (log, batch, count, recorded_at, earliest, latest, leaves)
		SELECT 'access', batch, $3, $4, $5, $6, $7 FROM drawn`

	accessKindSQL = `SELECT count(*) FROM pg_class WHERE relpersistence <> 'p'
		AND (oid = 'access_log'::regclass OR oid IN (SELECT inhrelid FROM pg_inherits WHERE inhparent = 'access_log'::regclass))`
)

// Append stores entries, MaxBatchEvents at most. All of them are durable when it returns without an error; otherwise
// none may be, and they may be appended again: an entry too many tells no lie.
func (l *AccessLog) Append(ctx context.Context, entries []AccessEntry) error {
	times, texts := make([]time.Time, len(entries)), make([]string, len(entries))
	leaves := make([]byte, 0, len(entries)*ledger.HashSize)
	for i, e := range entries {
		leaf := ledger.LeafHash(e.Canonical)
		times[i], texts[i], leaves = e.Time, string(e.Canonical), append(leaves, leaf[:]...)
	}
	if err := l.months.ensure(ctx, l.pool, slices.Values(times)); err != nil {
		return err
	}
	earliest, latest := slices.MinFunc(times, time.Time.Compare), slices.MaxFunc(times, time.Time.Compare)
	if _, err := l.pool.Exec(ctx, appendAccessSQL, times, texts, len(entries), latest, earliest, latest, leaves); err != nil {
		l.months.forget() // a partition may have been taken away
		return fmt.Errorf("append to the access log: %w", err)
	}
	return nil
}

// Check fails where what is appended would not outlast a crash.
func (l *AccessLog) Check(ctx context.Context) error {
	var lost int
	if err := l.pool.QueryRow(ctx, accessKindSQL).Scan(&lost); err != nil {
		return fmt.Errorf("check the access log: %w", err)
	}
	if lost > 0 {
		return errs.New(errs.Unavailable, "access_log_unlogged", "the access log is an UNLOGGED table, which a crash empties: ALTER TABLE ... SET LOGGED")
	}
	return nil
}

// AccessFilter says which entries are wanted. What is zero does not filter; all that is given must fit.
type AccessFilter struct {
	Principal, Route, Method, CorrelationID string
	Status                                  int
	From, To                                time.Time // inclusive, exclusive
}

func (f AccessFilter) fingerprint() []byte {
	b := []byte("access")
	for _, text := range []string{f.Principal, f.Route, f.Method, f.CorrelationID, fmt.Sprint(f.Status), moment(f.From), moment(f.To)} {
		b = appendField(b, text)
	}
	return b
}

func (f AccessFilter) where() *conditions {
	c := &conditions{}
	c.addText(`(entry ->> 'principal') COLLATE "C" = %s`, f.Principal)
	c.addText(`(entry ->> 'correlationId') COLLATE "C" = %s`, f.CorrelationID)
	c.addText(`entry ->> 'route' = %s`, f.Route)
	c.addText(`entry ->> 'method' = %s`, f.Method)
	if f.Status != 0 {
		c.add(`entry -> 'status' = to_jsonb(%s::int)`, f.Status)
	}
	c.between("time", f.From, f.To)
	return c
}

// StoredAccess is an entry as it is read back.
type StoredAccess struct {
	Position  int64
	Canonical []byte // without the position

	id   int64
	time time.Time
}

// AppendJSON appends the entry as the API shows it: with its position.
func (a *StoredAccess) AppendJSON(dst []byte) []byte {
	dst = append(dst, `{"position":`...)
	dst = strconv.AppendInt(dst, a.Position, 10)
	return append(append(dst, ','), a.Canonical[1:]...)
}

// AccessPage is a part of the access log.
type AccessPage struct {
	Items []StoredAccess
	Next  string // the next page's cursor; "" where this one is the last
}

// accessColumns are what scanAccess reads. By ledger_batches' unique (log, batch). What waits for its position is not
// there yet.
const accessColumns = `SELECT a.id, a.time, a.entry, b.first_position + (a.id & 16383) FROM access_log AS a
	JOIN ledger_batches AS b ON b.log = 'access' AND b.batch = a.id >> 14 WHERE `

func scanAccess(row scanner) (a StoredAccess, err error) {
	var entry []byte
	if err := row.Scan(&a.id, &a.time, &entry, &a.Position); err != nil {
		return a, err
	}
	if a.Canonical, err = event.Canonicalize(nil, entry); err != nil {
		return a, fmt.Errorf("access entry %d: %w: %w", a.id, errCorrupt, err)
	}
	return a, nil
}

// AccessEntries answers a part of the access log by time. What was committed before is numbered first, and so is in it.
func (r *Reader) AccessEntries(ctx context.Context, f AccessFilter, p Page) (AccessPage, error) {
	page := AccessPage{Items: []StoredAccess{}}
	err := r.read(ctx, "list access entries", func(ctx context.Context, conn *pgx.Conn) error {
		if err := numberAll(ctx, conn); err != nil {
			return err
		}
		where := f.where()
		if p.Cursor != "" {
			k, err := parseCursor(p.Cursor, p.Order, f.fingerprint())
			if err != nil {
				return err
			}
			where.beyond("time", k, p.Order)
		}
		sql := accessColumns + where.sql() + " ORDER BY " + p.Order.by("time") + " LIMIT " + where.bind(p.Limit+1)
		rows, err := conn.Query(ctx, sql, append([]any{pgx.QueryExecModeExec}, where.args...)...)
		if err != nil {
			return err
		}
		if page.Items, err = pgx.CollectRows(rows, func(row pgx.CollectableRow) (StoredAccess, error) { return scanAccess(row) }); err != nil {
			return err
		}
		if len(page.Items) > p.Limit {
			page.Items = page.Items[:p.Limit]
			last := page.Items[p.Limit-1]
			page.Next = cursor(key{utc(last.time), last.id}, p.Order, f.fingerprint())
		}
		return nil
	})
	return page, err
}

// numberAll numbers all that waits.
func numberAll(ctx context.Context, conn *pgx.Conn) error {
	for {
		n, err := numberPending(ctx, conn)
		if err != nil || n == 0 {
			return err
		}
	}
}

// By ledger_batches' primary key, and access_log's: a batch's entries lie in the time that its row names. The end of the
// batch is asked about outside: within, a position that is none would have all batches read.
const accessAtSQL = `SELECT batch, $1 - first_position, earliest, latest
	FROM (SELECT * FROM ledger_batches WHERE log = 'access' AND first_position <= $1 ORDER BY first_position DESC LIMIT 1) AS b
	WHERE first_position + count > $1`

// AccessEntry answers the entry at a position.
func (r *Reader) AccessEntry(ctx context.Context, position int64) (found StoredAccess, err error) {
	err = r.read(ctx, "read access entry", func(ctx context.Context, conn *pgx.Conn) error {
		var (
			batch, index     int64
			earliest, latest time.Time
		)
		err := conn.QueryRow(ctx, accessAtSQL, position).Scan(&batch, &index, &earliest, &latest)
		if err == nil {
			found, err = scanAccess(conn.QueryRow(ctx, accessColumns+"a.time BETWEEN $1 AND $2 AND a.id = $3", pgx.QueryExecModeExec, earliest, latest, batch<<indexBits|index))
		}
		if errors.Is(err, pgx.ErrNoRows) {
			return errNoAccess
		}
		return err
	})
	return found, err
}

var errNoAccess = errs.New(errs.NotFound, "not_found", "the access log has no entry at this position")
