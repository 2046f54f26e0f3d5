package store

import (
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/binary"
	"time"

	"audittrail/platform/errs"
)

// The first byte of every cursor is its layout's version.
const (
	cursorPlain    = 1 // timestamp, id
	cursorPosition = 2 // timestamp, id, position
)

// cursorBytes: version, timestamp, id, and the check.
const (
	cursorCheck = 8
	cursorBytes = 1 + 8 + 8 + cursorCheck
)

var errCursor = errs.New(errs.Invalid, "invalid_cursor",
	"is not a cursor of this search: send nextCursor as it was, with the same filters and order").InField("cursor")

// key is a row's place in a list.
type key struct {
	timestamp time.Time
	id        int64
}

// noPosition is the position of a page cursor that has none.
const noPosition = -2

// pageCursor is a place in a list of events, and a position that whoever reads on from there MUST have: else events
// that the first page could have shown would be missing.
type pageCursor struct {
	key
	position int64
}

// cursor encodes a key for its search.
func cursor(k key, order Order, fingerprint []byte) string {
	return pageCursor{k, noPosition}.encode(order, fingerprint)
}

// encode encodes a cursor for its search. The check is a hash over both. So every process recognizes a cursor that was
// damaged or belongs to another search. It needs no secret: a forged cursor leads to a place in a list that from and
// to lead to as well.
func (c pageCursor) encode(order Order, fingerprint []byte) string {
	b := append(make([]byte, 0, cursorBytes+8), cursorPlain)
	b = binary.BigEndian.AppendUint64(b, uint64(c.timestamp.UnixMicro()))
	b = binary.BigEndian.AppendUint64(b, uint64(c.id))
	if c.position != noPosition {
		b[0] = cursorPosition
		b = binary.BigEndian.AppendUint64(b, uint64(c.position))
	}
	b = append(b, check(b, order, fingerprint)...)
	return base64.RawURLEncoding.EncodeToString(b)
}

// parseCursor is the inverse of cursor. Every fault is the same error, invalid_cursor.
func parseCursor(text string, order Order, fingerprint []byte) (key, error) {
	c, err := parsePageCursor(text, order, fingerprint)
	return c.key, err
}

// parsePageCursor is the inverse of encode. Every fault is the same error, invalid_cursor.
func parsePageCursor(text string, order Order, fingerprint []byte) (pageCursor, error) {
	b, err := base64.RawURLEncoding.Strict().DecodeString(text)
	if err != nil || !(len(b) == cursorBytes && b[0] == cursorPlain || len(b) == cursorBytes+8 && b[0] == cursorPosition) {
		return pageCursor{}, errCursor
	}
	body, sum := b[:len(b)-cursorCheck], b[len(b)-cursorCheck:]
	if subtle.ConstantTimeCompare(sum, check(body, order, fingerprint)) != 1 {
		return pageCursor{}, errCursor
	}
	k := pageCursor{key{
		timestamp: time.UnixMicro(int64(binary.BigEndian.Uint64(body[1:]))).UTC(),
		id:        int64(binary.BigEndian.Uint64(body[9:])),
	}, noPosition}
	if b[0] == cursorPosition {
		k.position = max(int64(binary.BigEndian.Uint64(body[17:])), -1)
	}
	if year := k.timestamp.Year(); year < 1 || year > 9999 { // forged: PostgreSQL might refuse it
		return pageCursor{}, errCursor
	}
	return k, nil
}

func check(body []byte, order Order, fingerprint []byte) []byte {
	h := sha256.New()
	h.Write(body)
	h.Write([]byte{byte(order)})
	h.Write(fingerprint)
	return h.Sum(nil)[:cursorCheck]
}
