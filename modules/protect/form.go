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
//
// No producer may name a member so, and in a JSON text these bytes can't stand anywhere but where such an object
// begins: inside a string, a quote has a backslash before it.
const (
	sealedBegin = `{"$sealed":`
	textBegin   = `{"$sealed":"1.`
	maskedForm  = `{"$sealed":true}`
	erasedForm  = `{"$erased":true}`
)

// formVersion is the first byte of a sealed value in the column.
const formVersion = 1

const minSealed = 1 + len(KeyID{}) + nonceSize + tagSize

var errForm = errors.New("a sealed value is in a form that nothing stores")

// sealedSize is the size of a value in the column that is sealed with a length.
func sealedSize(length int) int { return minSealed + length }

// columnSize is the size of such a value with its head, at most.
func columnSize(length int) int { return sealedSize(length) + binary.MaxVarintLen32 }

// textSize is the size of such a value as it is stored in an event.
func textSize(length int) int {
	return len(textBegin) + base64.RawURLEncoding.EncodedLen(len(KeyID{})) + len(`.`) +
		base64.RawURLEncoding.EncodedLen(nonceSize+length+tagSize) + len(`"}`)
}

// rowFormSize is the size of what stands in the row in a value's place, mostly.
const rowFormSize = len(sealedBegin) + len("99}")

// appendColumnHead appends the head of a value that is sealed with a length: the nonce and the ciphertext MUST follow.
func appendColumnHead(column []byte, length int, key KeyID) []byte {
	column = binary.AppendUvarint(column, uint64(sealedSize(length)))
	return append(append(column, formVersion), key[:]...)
}

// cutColumn returns the first value of a column that was made here, and the rest.
func cutColumn(column []byte) (value, rest []byte) {
	n, size := binary.Uvarint(column)
	return column[size : size+int(n)], column[size+int(n):]
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
	values, err := valuesOf(column)
	if err != nil {
		return nil, nil, err
	}
	next := 0
	payload, err = expand(payload, values, &next)
	if err != nil {
		return nil, nil, err
	}
	if metadata, err = expand(metadata, values, &next); err != nil {
		return nil, nil, err
	}
	if next != len(values) {
		return nil, nil, errForm
	}
	return payload, metadata, nil
}

// valuesOf splits a row's column into its values.
func valuesOf(column []byte) (values [][]byte, err error) {
	for rest := column; len(rest) > 0; {
		n, size := binary.Uvarint(rest)
		if size <= 0 || n > uint64(len(rest)-size) || n < uint64(minSealed) || rest[size] != formVersion {
			return nil, errForm
		}
		values, rest = append(values, rest[size:size+int(n)]), rest[size+int(n):]
	}
	return values, nil
}

// ColumnKeys returns the keys of the values of a row's column, sorted, each once.
func ColumnKeys(column []byte) ([]KeyID, error) {
	values, err := valuesOf(column)
	keys := make([]KeyID, len(values))
	for i, value := range values {
		keys[i] = KeyID(value[1 : 1+len(KeyID{})])
	}
	slices.SortFunc(keys, func(a, b KeyID) int { return bytes.Compare(a[:], b[:]) })
	return slices.Compact(keys), err
}

// expand puts values into a document. They are numbered in the order of their places.
func expand(document []byte, values [][]byte, next *int) ([]byte, error) {
	at := bytes.Index(document, []byte(sealedBegin))
	if at < 0 {
		return document, nil
	}
	size := len(document)
	for _, v := range values {
		size += len(textBegin) + base64.RawURLEncoding.EncodedLen(len(v)) + 4
	}
	out := make([]byte, 0, size)
	for ; at >= 0; at = bytes.Index(document, []byte(sealedBegin)) {
		out = append(out, document[:at]...)
		document = document[at+len(sealedBegin):]
		number := strconv.Itoa(*next) + "}"
		if *next >= len(values) || !bytes.HasPrefix(document, []byte(number)) {
			return nil, errForm
		}
		out = appendText(out, values[*next])
		document = document[len(number):]
		*next++
	}
	return append(out, document...), nil
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
