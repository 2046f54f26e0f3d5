package store

import (
	"context"
	"errors"
	"time"

	"github.com/jackc/pgx/v5"

	"audittrail/platform/errs"
)

// DeadLetterFilter says which dead letters are wanted. What is zero does not filter.
type DeadLetterFilter struct {
	Topic  string
	Reason string
}

func (f DeadLetterFilter) fingerprint() []byte {
	return appendField(appendField([]byte("dead-letters"), f.Topic), f.Reason)
}

// DeadLetterPage is a part of a list of dead letters.
type DeadLetterPage struct {
	Items []DeadLetter
	Next  string // the next page's cursor; "" where this one is the last
}

// DeadLetters answers a part of the dead letters that fit the filter, the latest first; p.Order is not
// looked at. Served by the primary key, dead_letters_topic and dead_letters_reason.
func (r *Reader) DeadLetters(ctx context.Context, f DeadLetterFilter, p Page) (DeadLetterPage, error) {
	where := &conditions{}
	if f.Topic != "" {
		where.add("topic = %s", f.Topic)
	}
	if f.Reason != "" {
		where.add("reason = %s", f.Reason)
	}
	if p.Cursor != "" {
		k, err := parseCursor(p.Cursor, Descending, f.fingerprint())
		if err != nil {
			return DeadLetterPage{}, err
		}
		where.add("id < %s::bigint", k.id)
	}
	page := DeadLetterPage{Items: []DeadLetter{}}
	err := r.read(ctx, "list dead letters", func(ctx context.Context, conn *pgx.Conn) error {
		return r.collectDeadLetters(ctx, conn, where, p.Limit, &page, f.fingerprint())
	})
	return page, err
}

func (r *Reader) collectDeadLetters(ctx context.Context, conn *pgx.Conn, where *conditions, limit int,
	page *DeadLetterPage, fingerprint []byte) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	sql := "SELECT " + deadLetterColumns + " FROM dead_letters WHERE " + where.sql() +
		" ORDER BY id DESC LIMIT " + where.bind(limit+1)
	rows, err := conn.Query(ctx, sql, append([]any{pgx.QueryExecModeExec}, where.args...)...)
	if err != nil {
		return err
	}
	defer rows.Close()
	free := r.pageBytes
	for rows.Next() {
		letter, err := scanDeadLetter(rows)
		if err != nil {
			return err
		}
		size := letter.size()
		if n := len(page.Items); n > 0 && (n == limit || size > free) {
			page.Next = cursor(key{time.Unix(0, 0), page.Items[n-1].ID}, Descending, fingerprint)
			cancel() // as in collect: what is left is not drained
			return nil
		}
		page.Items, free = append(page.Items, letter), free-size
	}
	return rows.Err()
}

// size is about how many bytes the dead letter's JSON takes; its bytes are shown in base64.
func (d *DeadLetter) size() int {
	n := 400 + (len(d.Raw.Key)+len(d.Raw.Value))*4/3
	for _, h := range d.Raw.Headers {
		n += 30 + len(h.Key) + len(h.Value)*4/3
	}
	return n
}

// By dead_letters' primary key.
const deadLetterByIDSQL = `SELECT ` + deadLetterColumns + ` FROM dead_letters WHERE id = $1`

// DeadLetter answers the dead letter of this id.
func (r *Reader) DeadLetter(ctx context.Context, id int64) (DeadLetter, error) {
	var letter DeadLetter
	err := r.read(ctx, "read dead letter", func(ctx context.Context, conn *pgx.Conn) (err error) {
		letter, err = scanDeadLetter(conn.QueryRow(ctx, deadLetterByIDSQL, id))
		if errors.Is(err, pgx.ErrNoRows) {
			return errNoDeadLetter
		}
		return err
	})
	return letter, err
}

var errNoDeadLetter = errs.New(errs.NotFound, "not_found", "there is no dead letter with this id")
