package store

import (
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/binary"
	"time"

	"audittrail/platform/errs"
)

// cursorVersion is the first byte of every cursor. Each layout has its own.
const cursorVersion = 1

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

// cursor encodes a key for its search. The check is a hash over both. So every process recognizes a cursor that was
// damaged or belongs to another search. It needs no secret: a forged cursor leads to a place in a list that from and
// to lead to as well.
func cursor(k key, order Order, fingerprint []byte) string {
	b := make([]byte, 0, cursorBytes)
	b = append(b, cursorVersion)
	b = binary.BigEndian.AppendUint64(b, uint64(k.timestamp.UnixMicro()))
	b = binary.BigEndian.AppendUint64(b, uint64(k.id))
	b = append(b, check(b, order, fingerprint)...)
	return base64.RawURLEncoding.EncodeToString(b)
}

// parseCursor is the inverse of cursor. Every fault is the same error, invalid_cursor.
func parseCursor(text string, order Order, fingerprint []byte) (key, error) {
	b, err := base64.RawURLEncoding.Strict().DecodeString(text)
	if err != nil || len(b) != cursorBytes || b[0] != cursorVersion {
		return key{}, errCursor
	}
	body, sum := b[:cursorBytes-cursorCheck], b[cursorBytes-cursorCheck:]
	if subtle.ConstantTimeCompare(sum, check(body, order, fingerprint)) != 1 {
		return key{}, errCursor
	}
	k := key{
		timestamp: time.UnixMicro(int64(binary.BigEndian.Uint64(body[1:]))).UTC(),
		id:        int64(binary.BigEndian.Uint64(body[9:])),
	}
	if year := k.timestamp.Year(); year < 1 || year > 9999 { // forged: PostgreSQL might refuse it
		return key{}, errCursor
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
