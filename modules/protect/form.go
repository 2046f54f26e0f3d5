package protect

import (
	"bytes"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"slices"
	"strconv"

	"audittrail/modules/event"
)

// The forms of a sealed value in an event's payload or metadata:
//
//	{"$sealed":"1.<key id>.<ciphertext>"}  as it is stored, proven and exported in bundles
//	{"$sealed":7}                          in the row, whose column sealed holds the ciphertext
//	{"$sealed":true}                       for readers without pii:read
//	{"$erased":true}                       once the key is destroyed
//	{"$sealed":"altered"}                  for readers with pii:read: it does not open in its place
//	{"$sealed":"key_unknown"}              likewise: the database of keys does not have its key
//
// No producer may name a member so, and in a JSON text these bytes can't stand anywhere but where such an object
// begins: inside a string, a quote has a backslash before it.
const (
	sealedBegin = `{"$sealed":`
	textBegin   = `{"$sealed":"1.`
	maskedForm  = `{"$sealed":true}`
	erasedForm  = `{"$erased":true}`

	alteredForm    = `{"$sealed":"altered"}`
	keyUnknownForm = `{"$sealed":"key_unknown"}`
)

// formVersion is the first byte of a sealed value in the column.
const formVersion = 1

const minSealed = 1 + len(KeyID{}) + nonceSize + tagSize

var errForm = errors.New("a sealed value is in a form that nothing stores")

// sealedSize is the size of a value in the column that is sealed with a length.
func sealedSize(length int) int { return minSealed + length }

// columnSize is the size of such a value with its head, at most.
func columnSize(length int) int { return sealedSize(length) + binary.MaxVarintLen32 }

// rowFormSize is the size of what stands in the row in a value's place, mostly.
const rowFormSize = len(sealedBegin) + len("99}")

// appendColumnHead appends the head of a value that is sealed with a length: the nonce and the ciphertext MUST follow.
func appendColumnHead(column []byte, length int, key KeyID) []byte {
	column = binary.AppendUvarint(column, uint64(sealedSize(length)))
	return append(append(column, formVersion), key[:]...)
}

// appendText appends a sealed value as it is stored in an event.
func appendText(dst, value []byte) []byte {
	dst = append(dst, textBegin...)
	dst = base64.RawURLEncoding.AppendEncode(dst, value[1:1+len(KeyID{})])
	dst = append(dst, '.')
	dst = base64.RawURLEncoding.AppendEncode(dst, value[1+len(KeyID{}):])
	return append(dst, '"', '}')
}

// Expand puts the values of a row's column into its documents, which MUST be canonical, and returns them as they are
// stored. It fails unless each value has one place.
func Expand(payload, metadata, column []byte) ([]byte, []byte, error) {
	payload, metadata, _, err := expandInto(nil, payload, metadata, column)
	return payload, metadata, err
}

// expandInto is Expand with space for the documents, which it returns, perhaps a larger one.
func expandInto(space, payload, metadata, column []byte) (_, _, _ []byte, err error) {
	x := expansion{space: space[:0], column: column}
	payload, metadata = x.document(payload), x.document(metadata)
	if x.failed || len(x.column) > 0 {
		return nil, nil, space, errForm
	}
	return payload, metadata, x.space, nil
}

// expansion puts values into documents.
type expansion struct {
	space  []byte
	column []byte // the values that have no place yet
	next   int    // the number of the first of them
	failed bool
}

// document returns a document with its values. They are numbered in the order of their places.
func (x *expansion) document(text []byte) []byte {
	at := bytes.Index(text, []byte(sealedBegin))
	if at < 0 {
		return text
	}
	x.space = slices.Grow(x.space, len(text)+len(x.column)*3/2) // a value takes less than that as text
	begin := len(x.space)
	for ; at >= 0; at = bytes.Index(text, []byte(sealedBegin)) {
		x.space = append(x.space, text[:at]...)
		text = text[at+len(sealedBegin):]
		var number [20]byte
		place := append(strconv.AppendInt(number[:0], int64(x.next), 10), '}')
		value, rest, ok := cutValue(x.column)
		if !ok || !bytes.HasPrefix(text, place) {
			x.failed = true
			return nil
		}
		x.space = appendText(x.space, value)
		text, x.column = text[len(place):], rest
		x.next++
	}
	x.space = append(x.space, text...)
	return x.space[begin:len(x.space):len(x.space)]
}

// cutValue returns the first value of a row's column, and the rest; ok is false if there is none.
func cutValue(column []byte) (value, rest []byte, ok bool) {
	n, size := binary.Uvarint(column)
	if size <= 0 || n > uint64(len(column)-size) || n < uint64(minSealed) || column[size] != formVersion {
		return nil, nil, false
	}
	return column[size : size+int(n)], column[size+int(n):], true
}

// ColumnKeys returns the keys of the values of a row's column, sorted, each once.
func ColumnKeys(column []byte) (keys []KeyID, err error) {
	for rest := column; len(rest) > 0; {
		value, behind, ok := cutValue(rest)
		if !ok {
			return nil, errForm
		}
		keys, rest = append(keys, KeyID(value[1:])), behind
	}
	slices.SortFunc(keys, func(a, b KeyID) int { return bytes.Compare(a[:], b[:]) })
	return slices.Compact(keys), nil
}

// parseText reads a sealed value as it is stored in an event; ok is false if it is none.
func parseText(value []byte) (id KeyID, sealed []byte, ok bool) {
	rest, ok := bytes.CutPrefix(value, []byte(textBegin))
	if !ok {
		return id, nil, false
	}
	rest, ok = bytes.CutSuffix(rest, []byte(`"}`))
	name, ciphertext, found := bytes.Cut(rest, []byte{'.'})
	if !ok || !found || base64.RawURLEncoding.DecodedLen(len(name)) != len(id) {
		return id, nil, false
	}
	if _, err := base64.RawURLEncoding.Decode(id[:], name); err != nil {
		return id, nil, false
	}
	sealed, err := base64.RawURLEncoding.AppendDecode(nil, ciphertext)
	return id, sealed, err == nil && len(sealed) >= nonceSize+tagSize
}

// HasSealed reports whether an event has sealed values.
func HasSealed(e *event.Event) bool {
	return bytes.Contains(e.Payload, []byte(textBegin)) || bytes.Contains(e.Metadata, []byte(textBegin))
}

// String returns the id as entries of the access log have it.
func (id KeyID) String() string { return base64.RawURLEncoding.EncodeToString(id[:]) }

// String returns the hash as entries of the access log have it.
func (h SubjectHash) String() string { return base64.RawURLEncoding.EncodeToString(h[:]) }

// bound is what a sealed value is bound to: its event, its key and its place.
func bound(dst []byte, id event.ID, key KeyID, pointer []byte) []byte {
	dst = append(append(dst, id[:]...), key[:]...)
	return append(dst, pointer...)
}

// appendName appends a member's name to a pointer (RFC 6901), as it is spelled canonically.
func appendName(pointer, name []byte) []byte {
	pointer = append(pointer, '/')
	for _, c := range name {
		switch c {
		case '~':
			pointer = append(pointer, '~', '0')
		case '/':
			pointer = append(pointer, '~', '1')
		default:
			pointer = append(pointer, c)
		}
	}
	return pointer
}

func appendIndex(pointer []byte, i int) []byte {
	return appendInt(append(pointer, '/'), i)
}

func appendInt(dst []byte, n int) []byte { return strconv.AppendInt(dst, int64(n), 10) }
