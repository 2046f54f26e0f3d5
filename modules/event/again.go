package event

import (
	"slices"
	"strconv"
	"strings"
)

// AppendRecord appends the value of a record that Decode and Validate make this event of again: the eight members,
// without metadata.audittrail, which is the store's. It is valid for every event that was stored, under the limits
// under which it was stored:
//   - What stands in metadata.extensions becomes members of the record, as it was sent, so that it is not nested
//     deeper than it was. A name that a record's own members have stays, since nobody can have sent it elsewhere.
//   - Numbers and the timestamp have their shortest spelling, so that the record is not longer than it was.
//
// The members of metadata that omit names are left out too.
func (e *Event) AppendRecord(dst []byte, omit ...string) []byte {
	b := append(dst, `{"eventId":"`...)
	b = e.ID.append(b)
	b = append(b, `","eventType":`...)
	b = appendText(b, e.Type)
	b = append(b, `,"aggregateId":`...)
	b = appendText(b, e.AggregateID)
	b = append(b, `,"aggregateType":`...)
	b = appendText(b, e.AggregateType)
	b = append(b, `,"timestamp":"`...)
	b = appendShortTime(b, e)
	b = append(b, `","version":`...)
	b = appendShort(b, strconv.AppendInt(nil, int64(e.Version), 10))
	b = append(b, `,"payload":`...)
	b = appendShortNumbers(b, e.Payload)

	kept, others := e.splitMetadata(omit)
	if len(kept) > len("{}") {
		b = append(b, `,"metadata":`...)
		b = appendShortNumbers(b, kept)
	}
	if len(others) > 0 {
		b = append(b, ',')
		b = appendShortNumbers(b, others)
	}
	return append(b, '}')
}

// splitMetadata returns metadata as it stands in a record, and the members of its extensions that stand beside it,
// with commas between them.
func (e *Event) splitMetadata(omit []string) (kept, others []byte) {
	kept = []byte{'{'}
	for name, value := range Members(e.Metadata) {
		switch {
		case string(name) == marker || slices.Contains(omit, string(name)):
			continue
		case string(name) == extensions && len(value) > len("{}") && value[0] == '{':
			stay := []byte{'{'}
			for inner, v := range Members(value) {
				if fieldNamed(inner) != fieldCount {
					stay = appendMember(stay, inner, v)
				} else {
					others = appendMember(others, inner, v)
				}
			}
			if value = closeObject(stay); len(value) == len("{}") {
				continue
			}
		}
		kept = appendMember(kept, name, value)
	}
	if len(others) > 0 {
		others = others[:len(others)-1]
	}
	return closeObject(kept), others
}

// appendShortTime appends the timestamp without the zeros at the end of its fraction.
func appendShortTime(b []byte, e *Event) []byte {
	text := FormatTime(e.Timestamp)
	return append(append(b, strings.TrimRight(strings.TrimRight(strings.TrimSuffix(text, "Z"), "0"), ".")...), 'Z')
}

// appendShortNumbers appends canonical JSON with each number in its shortest spelling.
func appendShortNumbers(dst, json []byte) []byte {
	for i := 0; i < len(json); {
		n := 1
		switch c := json[i]; {
		case c == '"':
			n = textEnd(json[i:])
		case c == '-' || '0' <= c && c <= '9':
			for i+n < len(json) && strings.IndexByte("0123456789.e+-", json[i+n]) >= 0 {
				n++
			}
			dst = appendShort(dst, json[i:i+n])
			i += n
			continue
		}
		dst = append(dst, json[i:i+n]...)
		i += n
	}
	return dst
}

// appendShort appends a canonical number in a spelling that none is shorter than.
func appendShort(dst, number []byte) []byte {
	if len(number) < 4 { // the shortest numbers that have another spelling are 1000 and 0.001
		return append(dst, number...)
	}
	d, point := decimalOf(number)
	digits := len(d.whole) + len(d.frac)
	if digits == 0 {
		return append(dst, '0')
	}
	best, bestAt, bestExp := d.plainLength(point), 0, 0
	for at := digits; at >= 1; at-- { // where the point stands in the digits; behind them there is none
		exp := point - at
		length := digits + 1 + len(strconv.Itoa(exp))
		if at < digits {
			length++
		}
		if length < best {
			best, bestAt, bestExp = length, at, exp
		}
	}
	if bestAt == 0 {
		return d.appendPlain(dst, point)
	}
	if d.negative {
		dst = append(dst, '-')
	}
	dst = d.appendDigits(dst, 0, bestAt)
	if bestAt < digits {
		dst = d.appendDigits(append(dst, '.'), bestAt, digits)
	}
	return strconv.AppendInt(append(dst, 'e'), int64(bestExp), 10)
}

// decimalOf reads a canonical number, and where its point stands behind its first significant digit.
func decimalOf(number []byte) (d decimal, point int) {
	i := 0
	if number[0] == '-' {
		d.negative = true
		i++
	}
	end := skipDigits(number, i)
	d.whole, i = number[i:end], end
	if i < len(number) && number[i] == '.' {
		end = skipDigits(number, i+1)
		d.frac, i = number[i+1:end], end
	}
	if i < len(number) {
		_, d.exp, _ = readExponent(number, i+1)
	}
	return d, d.trim()
}

// plainLength is how many characters a trimmed d has without an exponent, its sign left out.
func (d *decimal) plainLength(point int) int {
	digits := len(d.whole) + len(d.frac)
	switch {
	case point >= digits:
		return point
	case point > 0:
		return digits + 1
	default:
		return digits - point + len("0.")
	}
}

// appendPlain appends a trimmed d without an exponent.
func (d *decimal) appendPlain(dst []byte, point int) []byte {
	digits := len(d.whole) + len(d.frac)
	if d.negative {
		dst = append(dst, '-')
	}
	switch {
	case point >= digits:
		return appendZeros(d.appendDigits(dst, 0, digits), point-digits)
	case point > 0:
		return d.appendDigits(append(d.appendDigits(dst, 0, point), '.'), point, digits)
	default:
		return d.appendDigits(appendZeros(append(dst, '0', '.'), -point), 0, digits)
	}
}
