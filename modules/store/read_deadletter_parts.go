package store

import (
	"cmp"
	"context"
	"iter"
	"slices"

	"github.com/jackc/pgx/v5"

	"audittrail/modules/event"
)

// Long parts of a dead letter are read in slices, each by a statement of its own, so a slow reader holds no
// connection. A dead letter never changes, so the slices fit together.

// sliceBytes is how much is read at once; base64 encodes it without padding. PostgreSQL unpacks a compressed value up
// to a slice's end, so small slices of long values would cost more.
const sliceBytes = 3 << 19

// headerPage is roughly how many bytes of headers are read at once.
const headerPage = 1 << 20

// substring counts bytes from 1.
const (
	keySliceSQL    = `SELECT substring(key FROM $2 FOR $3) FROM dead_letters WHERE id = $1`
	valueSliceSQL  = `SELECT substring(value FROM $2 FOR $3) FROM dead_letters WHERE id = $1`
	headerSliceSQL = `SELECT substring(header_values[$4] FROM $2 FOR $3) FROM dead_letters WHERE id = $1`

	// The running sum bounds the bytes; the first header always comes, a long value's beginning of it.
	headersSQL = `SELECT n, k, substring(v FOR $3), coalesce(octet_length(v), 0) FROM (
			SELECT n, k, v, sum(octet_length(k) + least(coalesce(octet_length(v), 0), $3::int) + 40) OVER (ORDER BY n) AS bytes,
				row_number() OVER (ORDER BY n) AS nth
			FROM dead_letters, unnest(header_keys, header_values) WITH ORDINALITY AS h (k, v, n) WHERE id = $1 AND n > $2
		) AS h WHERE bytes <= $4 OR nth = 1 ORDER BY n`
)

// ReadKey returns the record's key in slices.
func (r *Reader) ReadKey(ctx context.Context, id int64) iter.Seq2[[]byte, error] {
	return r.slices(ctx, keySliceSQL, id)
}

// ReadValue returns the stored part of the record's value in slices.
func (r *Reader) ReadValue(ctx context.Context, id int64) iter.Seq2[[]byte, error] {
	return func(yield func([]byte, error) bool) {
		var (
			c            event.Coordinates
			sealedBy     *[16]byte
			sealed, open []byte
		)
		err := r.read(ctx, "read dead letter", func(ctx context.Context, conn *pgx.Conn) error {
			return conn.QueryRow(ctx, sealedBySQL, id).Scan((*[16]byte)(&c.TopicID), &c.Partition, &c.Offset, &sealedBy)
		})
		for slice, failed := range r.slices(ctx, valueSliceSQL, id) {
			switch {
			case err != nil || failed != nil:
				yield(nil, cmp.Or(err, failed))
				return
			case sealedBy != nil: // it opens as a whole
				sealed = append(sealed, slice...)
			case !yield(slice, nil):
				return
			}
		}
		if sealedBy == nil || r.opener == nil {
			return
		}
		if open, err = r.opener.OpenLetter(ctx, *sealedBy, c, sealed); err != nil {
			yield(nil, err)
			return
		}
		for slice := range slices.Chunk(open, sliceBytes) {
			if !yield(slice, nil) {
				return
			}
		}
	}
}

const sealedBySQL = `SELECT topic_id, partition, "offset", sealed_by FROM dead_letters WHERE id = $1`

// openLetter opens a sealed dead letter, also to see whether it is in a reader's scope: whoever answers callers hides
// its value from those who may not see it.
func (r *Reader) openLetter(ctx context.Context, d *DeadLetter) (err error) {
	if d.SealedBy == nil || d.Omitted.Value || d.Raw.Value == nil {
		return nil
	}
	if r.opener == nil {
		d.Raw.Value = nil
		return nil
	}
	d.Raw.Value, err = r.opener.OpenLetter(ctx, *d.SealedBy, d.Raw.Coordinates, d.Raw.Value)
	return err
}

// slices reads slices until one is not full.
func (r *Reader) slices(ctx context.Context, sql string, id int64, more ...any) iter.Seq2[[]byte, error] {
	return func(yield func([]byte, error) bool) {
		for from := 1; ; from += sliceBytes {
			var slice []byte
			err := r.read(ctx, "read dead letter", func(ctx context.Context, conn *pgx.Conn) error {
				return conn.QueryRow(ctx, sql, append([]any{id, from, sliceBytes}, more...)...).Scan(&slice)
			})
			if err != nil {
				yield(nil, err)
				return
			}
			if len(slice) > 0 && !yield(slice, nil) || len(slice) < sliceBytes {
				return
			}
		}
	}
}

// LongHeader is a header of a dead letter whose value may be long.
type LongHeader struct {
	Key   string
	Value []byte                   // nil if the header had none, or if Rest is set
	Rest  iter.Seq2[[]byte, error] // the whole value in slices, if it is longer than ShownBytes
}

type headerRow struct {
	n      int
	key    []byte
	value  []byte
	length int
}

// ReadHeaders returns the record's headers in order.
func (r *Reader) ReadHeaders(ctx context.Context, id int64) iter.Seq2[LongHeader, error] {
	return func(yield func(LongHeader, error) bool) {
		for after := 0; ; {
			page, err := r.headerPage(ctx, id, after)
			if err != nil {
				yield(LongHeader{}, err)
				return
			}
			for _, h := range page {
				header := LongHeader{Key: string(h.key), Value: h.value}
				if h.length > ShownBytes {
					header.Value, header.Rest = nil, r.slices(ctx, headerSliceSQL, id, h.n)
				}
				if !yield(header, nil) {
					return
				}
				after = h.n
			}
			if len(page) == 0 {
				return
			}
		}
	}
}

func (r *Reader) headerPage(ctx context.Context, id int64, after int) (page []headerRow, err error) {
	err = r.read(ctx, "read dead letter's headers", func(ctx context.Context, conn *pgx.Conn) error {
		rows, _ := conn.Query(ctx, headersSQL, id, after, ShownBytes, headerPage)
		var err error
		page, err = pgx.CollectRows(rows, func(row pgx.CollectableRow) (h headerRow, err error) {
			err = row.Scan(&h.n, &h.key, &h.value, &h.length)
			return h, err
		})
		return err
	})
	return page, err
}
