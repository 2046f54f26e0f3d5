package event

import (
	"slices"
	"strconv"
	"strings"
	"unicode"
)

// fault is what a scanner stopped at. Its path grows from the inside out while the scanner unwinds.
type fault struct {
	reason Reason
	detail string
	path   []string // innermost first; elements of arrays as "[3]"
}

// fail notes the first thing that is wrong; it is false so that callers can return it.
func (s *scanner) fail(reason Reason, detail string) bool {
	s.fault = fault{reason: reason, detail: detail}
	return false
}

// malformed notes a breach of JSON's grammar at a byte of the input. Such a text has no reliable paths,
// so it is the whole record that is wrong.
func (s *scanner) malformed(at int, detail string) bool {
	return s.fail(MalformedJSON, "at byte "+strconv.Itoa(at)+": "+detail)
}

func (f *fault) inMember(name []byte) { f.path = append(f.path, pathName(name)) }

func (f *fault) inElement(i int) { f.path = append(f.path, "["+strconv.Itoa(i)+"]") }

// field is the path from the outside in, as "payload.lines[3].qty".
func (f *fault) field() string {
	if f.reason == MalformedJSON {
		return ""
	}
	path := slices.Clone(f.path)
	slices.Reverse(path)
	return joinPath(path...)
}

const (
	maxPathName = 64  // characters of one name
	maxPath     = 240 // bytes of a whole path
)

// pathName is how a path shows a member's name, given as the inside of a canonical string. Names are the
// producer's: some use data for them (an address, a card number). So one is shown only where it looks
// like an identifier, and is "*" otherwise.
func pathName(name []byte) string {
	var b strings.Builder
	for n := 0; len(name) > 0; n++ {
		r, size := nextRune(name)
		letter := unicode.IsLetter(r) || r == '_' || r == '$'
		if n == maxPathName || !letter && (n == 0 || !unicode.IsDigit(r) && !unicode.IsMark(r) && r != '-') {
			return "*"
		}
		b.WriteRune(r)
		name = name[size:]
	}
	if b.Len() == 0 {
		return "*"
	}
	return b.String()
}

// joinPath joins names and elements. What is beyond maxPath bytes is left out behind an ellipsis.
func joinPath(path ...string) string {
	var b strings.Builder
	for i, step := range path {
		if b.Len()+len(step) > maxPath {
			b.WriteString("…")
			break
		}
		if i > 0 && step[0] != '[' {
			b.WriteByte('.')
		}
		b.WriteString(step)
	}
	return b.String()
}
