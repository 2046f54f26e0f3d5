package event

import "bytes"

// cursor iterates over the members of a canonical object without reading inside their values.
type cursor struct{ rest []byte }

// membersOf begins at the first member of object, which MUST be canonical.
func membersOf(object []byte) cursor { return cursor{object[1:]} }

// next is the next member: the inside of its name, and its value. ok is false behind the last one.
func (c *cursor) next() (name, value []byte, ok bool) {
	if c.rest[0] == ',' {
		c.rest = c.rest[1:]
	}
	if c.rest[0] == '}' {
		return nil, nil, false
	}
	n := textEnd(c.rest)
	end := n + 1 + valueEnd(c.rest[n+1:])
	name, value = c.rest[1:n-1], c.rest[n+1:end]
	c.rest = c.rest[end:]
	return name, value, true
}

// textEnd is the length of the JSON string that b begins with.
func textEnd(b []byte) int {
	for i := 1; ; i++ {
		switch b[i] {
		case '"':
			return i + 1
		case '\\':
			i++
		}
	}
}

// valueEnd is the length of the canonical value that b begins with.
func valueEnd(b []byte) int {
	depth := 0
	for i := 0; i < len(b); i++ {
		switch b[i] {
		case '"':
			i += textEnd(b[i:]) - 1
		case '{', '[':
			depth++
		case '}', ']':
			if depth == 0 {
				return i
			}
			depth--
		case ',':
			if depth == 0 {
				return i
			}
			continue
		default:
			continue
		}
		if depth == 0 {
			return i + 1
		}
	}
	return len(b)
}

// appendMember appends a member and a comma.
func appendMember(dst, name, value []byte) []byte {
	dst = append(append(dst, '"'), name...)
	dst = append(append(dst, '"', ':'), value...)
	return append(dst, ',')
}

// closeObject writes the object's end in place of the last comma.
func closeObject(dst []byte) []byte {
	if dst[len(dst)-1] == ',' {
		dst = dst[:len(dst)-1]
	}
	return append(dst, '}')
}

// mergeObjects makes one canonical object of the members of two. Where both have a name the member of b
// stands, and clash is that name.
func mergeObjects(a, b []byte) (merged, clash []byte) {
	merged = append(make([]byte, 0, len(a)+len(b)), '{')
	left, right := membersOf(a), membersOf(b)
	x, xv, more := left.next()
	y, yv, others := right.next()
	for more || others {
		order := -1
		switch {
		case !more:
			order = 1
		case others:
			order = compareNames(x, y)
		}
		if order < 0 {
			merged = appendMember(merged, x, xv)
			x, xv, more = left.next()
			continue
		}
		merged = appendMember(merged, y, yv)
		if order == 0 {
			clash = y
			x, xv, more = left.next()
		}
		y, yv, others = right.next()
	}
	return closeObject(merged), clash
}

// appendWithout appends a canonical object without the members of some names.
func appendWithout(dst, object []byte, names ...string) []byte {
	dst = append(dst, '{')
	members := membersOf(object)
next:
	for name, value, ok := members.next(); ok; name, value, ok = members.next() {
		for _, n := range names {
			if string(name) == n {
				continue next
			}
		}
		dst = appendMember(dst, name, value)
	}
	return closeObject(dst)
}

// mentions reports whether object could have a member named so, at any depth. It may be wrong when it
// says yes, never when it says no.
func mentions(object []byte, name string) bool { return bytes.Contains(object, []byte(name)) }
