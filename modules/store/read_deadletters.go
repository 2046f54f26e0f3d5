package store

import (
	"context"
	"errors"
	"slices"
	"strconv"
	"time"

	"github.com/go-json-experiment/json/jsontext"
	"github.com/jackc/pgx/v5"

	"audittrail/modules/event"
	"audittrail/platform/errs"
)

// DeadLetterFilter selects dead letters. Zero fields do not filter.
type DeadLetterFilter struct {
	Topic    string
	Reason   string
	Field    string // the path, or one that it is within
	Key      string // a text that the record's key holds
	From, To time.Time
	Status   string // one of the constants
	After    int64  // ids above it
}

// What has become of a dead letter.
const (
	Pending      = "pending"
	WasRedriven  = "redriven"
	WasDismissed = "dismissed"
)

func (f DeadLetterFilter) fingerprint() []byte {
	b := []byte("dead-letters")
	for _, text := range []string{f.Topic, f.Reason, f.Field, f.Key, moment(f.From), moment(f.To), f.Status, strconv.FormatInt(f.After, 10)} {
		b = appendField(b, text)
	}
	return b
}

// where builds the filter's conditions. Served by dead_letters_topic, dead_letters_reason and the primary keys; all
// else is looked for in what these find.
func (f DeadLetterFilter) where() *conditions {
	c := &conditions{}
	c.addText("topic = %s", f.Topic)
	c.addText("reason = %s", f.Reason)
	c.addText("(field = %s OR starts_with(field, %s || '.') OR starts_with(field, %s || '['))", f.Field)
	c.addText("position(convert_to(%s::text, 'UTF8') in key) > 0", f.Key)
	c.between("received_at", f.From, f.To)
	if f.After > 0 {
		c.add("id > %s::bigint", f.After)
	}
	switch f.Status {
	case "":
	case Pending:
		c.terms = append(c.terms, "NOT EXISTS (SELECT FROM dead_letter_fates AS f WHERE f.dead_letter_id = dead_letters.id)")
	default:
		c.add("EXISTS (SELECT FROM dead_letter_fates AS f WHERE f.dead_letter_id = dead_letters.id AND f.fate = %s)", f.Status)
	}
	return c
}

// deadLettersVisibleTo is what a cursor of a list of dead letters belongs to.
func deadLettersVisibleTo(ctx context.Context, f DeadLetterFilter) []byte {
	return append(f.fingerprint(), scopesOf(ctx).fingerprint()...)
}

// DeadLetterPage is a part of a list of dead letters.
type DeadLetterPage struct {
	Items []DeadLetter
	Next  string // the next page's cursor; "" on the last page
}

// scopedRows is how many dead letters a page looks at for a reader who may not see all of them.
const scopedRows = 1000

// hashedBytes is how many bytes of values a page may hash: those that were kept before their hash was.
const hashedBytes = 64 << 20

// DeadLetters returns a page of the dead letters that match the filter, the latest first; it ignores p.Order. Parts
// longer than ShownBytes are left out. It uses the primary key, dead_letters_topic and dead_letters_reason.
func (r *Reader) DeadLetters(ctx context.Context, f DeadLetterFilter, p Page) (DeadLetterPage, error) {
	where := f.where()
	if p.Cursor != "" {
		k, err := parseCursor(p.Cursor, Descending, deadLettersVisibleTo(ctx, f))
		if err != nil {
			return DeadLetterPage{}, err
		}
		where.add("id < %s::bigint", k.id)
	}
	page := DeadLetterPage{Items: []DeadLetter{}}
	err := r.read(ctx, "list dead letters", func(ctx context.Context, conn *pgx.Conn) error {
		return r.collectDeadLetters(ctx, conn, where, p.Limit, &page, deadLettersVisibleTo(ctx, f))
	})
	if err == nil {
		err = r.hashValues(ctx, page.Items)
	}
	if err == nil {
		err = r.readFates(ctx, page.Items)
	}
	return page, err
}

func (r *Reader) collectDeadLetters(ctx context.Context, conn *pgx.Conn, where *conditions, limit int,
	page *DeadLetterPage, fingerprint []byte) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	most := limit + 1
	if !Unscoped(ctx) {
		most = max(most, scopedRows)
	}
	sql := "SELECT " + shownColumns + shownFrom + "WHERE " + where.sql() +
		" ORDER BY id DESC LIMIT " + where.bind(most)
	rows, err := conn.Query(ctx, sql, append([]any{pgx.QueryExecModeExec}, where.args...)...)
	if err != nil {
		return err
	}
	defer rows.Close()
	free, hashes := r.pageBytes, int64(hashedBytes)
	seen, last := 0, int64(0)
	for rows.Next() {
		letter, err := scanDeadLetter(rows)
		if err == nil {
			err = r.openLetter(ctx, &letter)
		}
		if err != nil {
			return err
		}
		seen, last = seen+1, letter.ID
		if !letter.visible(ctx) { // nor does it end a page: its size, or that it is there, would show
			continue
		}
		size, toHash := letter.size(), letter.toHash()
		if n := len(page.Items); n == limit || n > 0 && (size > free || toHash > hashes) {
			page.Next = cursor(key{time.Unix(0, 0), page.Items[n-1].ID}, Descending, fingerprint)
			cancel() // as in collect: what is left is not drained
			return nil
		}
		page.Items, free, hashes = append(page.Items, letter), free-size, hashes-toHash
	}
	if seen == most {
		page.Next = cursor(key{time.Unix(0, 0), last}, Descending, fingerprint)
	}
	return rows.Err()
}

// visible reports whether all scopes of a read show the dead letter.
func (d *DeadLetter) visible(ctx context.Context) bool {
	return !slices.ContainsFunc(scopesOf(ctx), func(s Scope) bool { return !d.ShownBy(s) })
}

// ShownBy reports whether the record's own types and source are in scope. A record in which they can't be read, or
// whose value is longer than ShownBytes, is out of every scope.
func (d *DeadLetter) ShownBy(s Scope) bool {
	if s.everything {
		return true
	}
	value, err := event.Canonicalize(nil, d.Raw.Value)
	if err != nil || d.Omitted.Value || value[0] != '{' {
		return false
	}
	texts := map[string]string{}
	readTexts(value, "", texts)
	source, hasSource := texts["metadata.source"]
	_, isTyped := texts["eventType"]
	_, isOfAggregate := texts["aggregateType"]
	return isTyped && isOfAggregate && s.Shows(texts["eventType"], texts["aggregateType"], source, hasSource)
}

// readTexts reads an object's texts, and those of its metadata, by their paths.
func readTexts(object []byte, path string, into map[string]string) {
	for name, value := range event.Members(object) {
		switch {
		case value[0] == '"':
			text, err := jsontext.AppendUnquote(nil, value)
			if err == nil {
				into[path+string(name)] = string(text)
			}
		case value[0] == '{' && path == "" && string(name) == "metadata":
			readTexts(value, "metadata.", into)
		}
	}
}

// size returns roughly how many bytes the dead letter's JSON has; its bytes are in base64.
func (d *DeadLetter) size() int {
	n := 400 + (len(d.Raw.Key)+len(d.Raw.Value))*4/3
	for _, h := range d.Raw.Headers {
		n += 30 + len(h.Key) + len(h.Value)*4/3
	}
	return n
}

// toHash is how many bytes the server reads to answer the value's hash, which older rows do not keep.
func (d *DeadLetter) toHash() int64 {
	if d.ValueSHA256 != nil || d.ValueLength < 0 || d.SealedBy != nil {
		return 0
	}
	return d.ValueLength
}

const (
	// It uses the primary key of dead_letters.
	deadLetterByIDSQL = `SELECT ` + shownColumns + shownFrom + `WHERE id = $1`
	hashValuesSQL     = `SELECT id, sha256(value) FROM dead_letters WHERE id = ANY ($1)`
)

// hashValues adds the hashes that the rows do not have.
func (r *Reader) hashValues(ctx context.Context, letters []DeadLetter) error {
	at := map[int64]*DeadLetter{}
	var ids []int64
	for i := range letters {
		if d := &letters[i]; d.ValueSHA256 == nil && d.ValueLength >= 0 && d.SealedBy == nil {
			at[d.ID], ids = d, append(ids, d.ID)
		}
	}
	if len(ids) == 0 {
		return nil
	}
	return r.read(ctx, "hash values of dead letters", func(ctx context.Context, conn *pgx.Conn) error {
		var (
			id  int64
			sum []byte
		)
		rows, _ := conn.Query(ctx, hashValuesSQL, ids)
		_, err := pgx.ForEachRow(rows, []any{&id, &sum}, func() error {
			at[id].ValueSHA256 = sum
			sum = nil
			return nil
		})
		return err
	})
}

// DeadLetter returns the dead letter with this id, without parts longer than ShownBytes: ReadKey, ReadValue and
// ReadHeaders read those in slices.
func (r *Reader) DeadLetter(ctx context.Context, id int64) (DeadLetter, error) {
	var letter DeadLetter
	err := r.read(ctx, "read dead letter", func(ctx context.Context, conn *pgx.Conn) (err error) {
		letter, err = scanDeadLetter(conn.QueryRow(ctx, deadLetterByIDSQL, id))
		if errors.Is(err, pgx.ErrNoRows) {
			return errNoDeadLetter
		}
		if err == nil {
			err = r.openLetter(ctx, &letter)
		}
		if err == nil && !letter.visible(ctx) {
			return errNoDeadLetter
		}
		return err
	})
	if err != nil {
		return DeadLetter{}, err
	}
	one := []DeadLetter{letter}
	if err = r.hashValues(ctx, one); err == nil {
		err = r.readFates(ctx, one)
	}
	return one[0], err
}

var errNoDeadLetter = errs.New(errs.NotFound, "not_found", "there is no dead letter with this id")
