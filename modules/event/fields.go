package event

import (
	"time"
	"unicode/utf8"
)

// maxName is the most characters that a type, an id of an aggregate or a known member of metadata has.
const maxName = 255

// maxVersion is the greatest version: PostgreSQL's integer.
const maxVersion = 1<<31 - 1

// earliest is 1900-01-01T00:00:00Z in Unix seconds. Older times are taken for mistakes.
const earliest = -2_208_988_800

// required is a field's canonical value, which MUST be there and not null.
func (d *Decoded) required(f field) ([]byte, *problem) {
	switch value := d.fields[f]; {
	case value == nil:
		return nil, &problem{MissingField, f.name(), "is required"}
	case value[0] == 'n':
		return nil, &problem{MissingField, f.name(), "is required and must not be null"}
	default:
		return value, nil
	}
}

// text is the inside of a required string, in canonical spelling.
func (d *Decoded) text(f field) ([]byte, *problem) {
	value, p := d.required(f)
	if p != nil {
		return nil, p
	}
	if value[0] != '"' {
		return nil, invalid(f.name(), "must be a string")
	}
	return value[1 : len(value)-1], nil
}

func (d *Decoded) id() (ID, *problem) {
	text, p := d.text(eventID)
	if p != nil {
		return ID{}, p
	}
	id, ok := parseID(text)
	if !ok {
		return ID{}, invalid(eventID.name(), errID.Error())
	}
	return id, nil
}

// names reads the type, the aggregate's id and its type. The three share one allocation.
func (d *Decoded) names(e *Event) *problem {
	var space [512]byte
	all, ends := space[:0], [3]int{}
	for i, f := range [...]field{eventType, aggregateID, aggregateType} {
		text, p := d.text(f)
		if p != nil {
			return p
		}
		start := len(all)
		all = appendUnescaped(all, text)
		if detail := breachOfName(all[start:]); detail != "" {
			return invalid(f.name(), detail)
		}
		ends[i] = len(all)
	}
	names := string(all)
	e.Type, e.AggregateID, e.AggregateType = names[:ends[0]], names[ends[0]:ends[1]], names[ends[1]:]
	return nil
}

// breachOfName says what is wrong with a name; "" if nothing.
func breachOfName(name []byte) string {
	if len(name) == 0 {
		return "must not be empty"
	}
	if len(name) > maxName && utf8.RuneCount(name) > maxName {
		return "must have at most 255 characters"
	}
	for i, c := range name {
		// U+0080 to U+009F, the other control characters, are spelled C2 80 to C2 9F.
		if c < 0x20 || c == 0x7f || c == 0xc2 && name[i+1] < 0xa0 {
			return "must not hold control characters"
		}
	}
	return ""
}

func (d *Decoded) timestamp(latest time.Time) (time.Time, *problem) {
	text, p := d.text(timestamp)
	if p != nil {
		return time.Time{}, p
	}
	t, err := parseTime(text)
	switch {
	case err != nil:
		return time.Time{}, invalid(timestamp.name(), err.Error())
	case t.Unix() < earliest:
		return time.Time{}, invalid(timestamp.name(), "lies before the year 1900")
	case t.After(latest):
		return time.Time{}, invalid(timestamp.name(), "lies too far in the future")
	}
	return t, nil
}

// version reads a whole number. Since its spelling is canonical, a whole number that is small enough has
// neither point nor exponent any more.
func (d *Decoded) version() (int32, *problem) {
	value, p := d.required(version)
	if p != nil {
		return 0, p
	}
	number := int64(0)
	for _, c := range value {
		if c-'0' > 9 || number > maxVersion {
			return 0, invalid(version.name(), "must be a whole number from 0 to 2147483647")
		}
		number = number*10 + int64(c-'0')
	}
	if number > maxVersion {
		return 0, invalid(version.name(), "must be a whole number from 0 to 2147483647")
	}
	return int32(number), nil
}

// appendUnescaped appends the characters of a canonical string's inside.
func appendUnescaped(dst, text []byte) []byte {
	for len(text) > 0 {
		if text[0] != '\\' {
			dst = append(dst, text[0])
			text = text[1:]
			continue
		}
		r, n := nextRune(text)
		dst = utf8.AppendRune(dst, r)
		text = text[n:]
	}
	return dst
}
