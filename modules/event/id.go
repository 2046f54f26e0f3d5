package event

import "errors"

// errID is what ParseID says of anything but a UUID in its 36-character form.
var errID = errors.New("must be a UUID in its 36-character form, and not the nil UUID")

// ParseID reads a UUID in its 36-character form (RFC 9562 section 4), in letters of either case, of
// any version and variant. The nil UUID is refused: it is what a forgotten id looks like.
//
// The error is in our words and does not quote s.
func ParseID(s string) (ID, error) {
	id, ok := parseID(s)
	if !ok {
		return ID{}, errID
	}
	return id, nil
}

func parseID[T string | []byte](s T) (id ID, ok bool) {
	if len(s) != 36 || s[8] != '-' || s[13] != '-' || s[18] != '-' || s[23] != '-' {
		return ID{}, false
	}
	at := 0
	for i := range id {
		switch at {
		case 8, 13, 18, 23:
			at++
		}
		high, low := hexDigit(s[at]), hexDigit(s[at+1])
		if high < 0 || low < 0 {
			return ID{}, false
		}
		id[i] = byte(high<<4 | low)
		at += 2
	}
	return id, id != ID{}
}

// hexDigit is the value of a hexadecimal digit, or -1.
func hexDigit(c byte) int {
	switch {
	case '0' <= c && c <= '9':
		return int(c - '0')
	case 'a' <= c && c <= 'f':
		return int(c-'a') + 10
	case 'A' <= c && c <= 'F':
		return int(c-'A') + 10
	}
	return -1
}
