package event

import (
	"encoding/binary"
	"math/bits"
	"unicode/utf16"
	"unicode/utf8"
)

// text reads a JSON string, quotes included, and writes its canonical spelling: RFC 8785 section
// 3.2.2.2, the shortest escape where one is needed and none elsewhere.
//
// odd says that the canonical text does not sort as its bytes: it holds an escape, or a character from
// U+E000 on.
func (s *scanner) text() (odd, ok bool) {
	in, from, i := s.in, s.pos, s.pos+1
	for {
		i = skipPlain(in, i)
		if i == len(in) {
			return false, s.malformed(i, "a string is not closed")
		}
		switch c := in[i]; {
		case c == '"':
			s.out = append(s.out, in[from:i+1]...)
			s.pos = i + 1
			return odd, true
		case c == '\\':
			s.out = append(s.out, in[from:i]...)
			r, n, ok := s.escape(i)
			if !ok {
				return false, false
			}
			s.out = appendRune(s.out, r)
			odd = odd || r >= 0xe000 || needsEscape(r)
			i += n
			from = i
		case c >= utf8.RuneSelf:
			r, n := utf8.DecodeRune(in[i:])
			if r == utf8.RuneError && n == 1 {
				return false, s.fail(InvalidText, "holds text that is not valid UTF-8")
			}
			odd = odd || r >= 0xe000
			i += n
		case c == 0:
			return false, s.fail(InvalidText, nulDetail)
		default:
			return false, s.malformed(i, "a control character stands in a string unescaped")
		}
	}
}

const nulDetail = "holds the character NUL, which PostgreSQL's jsonb can't"

// skipPlain is the place of the first byte from i on that is not plain: a quote, a backslash, a control
// character or part of a character beyond ASCII; len(in) if there is none. It looks at eight at a time.
// A borrow in the subtractions can mark only bytes above one that is marked rightly, so the lowest mark
// is always right.
func skipPlain(in []byte, i int) int {
	const ones, highs = 0x0101010101010101, 0x8080808080808080
	for i+8 <= len(in) {
		w := binary.LittleEndian.Uint64(in[i:])
		marks := (w | (w - ones*0x20) | ((w ^ ones*'"') - ones) | ((w ^ ones*'\\') - ones)) & highs
		if marks != 0 {
			return i + bits.TrailingZeros64(marks)>>3
		}
		i += 8
	}
	for i < len(in) && in[i] >= 0x20 && in[i] < utf8.RuneSelf && in[i] != '"' && in[i] != '\\' {
		i++
	}
	return i
}

// escape reads the escape that begins at i: its character and how many bytes it took.
func (s *scanner) escape(i int) (r rune, n int, ok bool) {
	if i+1 == len(s.in) {
		return 0, 0, s.malformed(i, "a string is not closed")
	}
	switch c := s.in[i+1]; c {
	case '"', '\\', '/':
		return rune(c), 2, true
	case 'b':
		return '\b', 2, true
	case 'f':
		return '\f', 2, true
	case 'n':
		return '\n', 2, true
	case 'r':
		return '\r', 2, true
	case 't':
		return '\t', 2, true
	case 'u':
		return s.unicodeEscape(i)
	}
	return 0, 0, s.malformed(i, "a string has an escape that JSON does not know")
}

// unicodeEscape reads the \uXXXX at i, or the two of a surrogate pair.
func (s *scanner) unicodeEscape(i int) (r rune, n int, ok bool) {
	r = hex4(s.in, i)
	switch {
	case r < 0:
		return 0, 0, s.malformed(i, "a string has a \\u that four hexadecimal digits do not follow")
	case r == 0:
		return 0, 0, s.fail(InvalidText, nulDetail)
	case !utf16.IsSurrogate(r):
		return r, 6, true
	}
	if pair := utf16.DecodeRune(r, hex4(s.in, i+6)); pair != utf8.RuneError {
		return pair, 12, true
	}
	return 0, 0, s.fail(InvalidText, "holds half of a surrogate pair, which is no character")
}

// hex4 is the code unit of the \uXXXX at i; -1 where there is none.
func hex4(in []byte, i int) rune {
	if i+6 > len(in) || in[i] != '\\' || in[i+1] != 'u' {
		return -1
	}
	var r rune
	for _, c := range in[i+2 : i+6] {
		h := hexDigit(c)
		if h < 0 {
			return -1
		}
		r = r<<4 | rune(h)
	}
	return r
}

func needsEscape(r rune) bool { return r < 0x20 || r == '"' || r == '\\' }

// appendRune appends r as it is spelled inside a canonical string.
func appendRune(dst []byte, r rune) []byte {
	const digits = "0123456789abcdef"
	switch r {
	case '"', '\\':
		return append(dst, '\\', byte(r))
	case '\b':
		return append(dst, '\\', 'b')
	case '\f':
		return append(dst, '\\', 'f')
	case '\n':
		return append(dst, '\\', 'n')
	case '\r':
		return append(dst, '\\', 'r')
	case '\t':
		return append(dst, '\\', 't')
	}
	if r < 0x20 {
		return append(dst, '\\', 'u', '0', '0', digits[r>>4], digits[r&15])
	}
	return utf8.AppendRune(dst, r)
}

// appendText appends s as a canonical JSON string. s MUST be valid UTF-8.
func appendText(dst []byte, s string) []byte {
	dst = append(dst, '"')
	from := 0
	for i := 0; i < len(s); i++ {
		if c := s[i]; needsEscape(rune(c)) {
			dst = append(dst, s[from:i]...)
			dst = appendRune(dst, rune(c))
			from = i + 1
		}
	}
	dst = append(dst, s[from:]...)
	return append(dst, '"')
}

// nextRune decodes the first character of a canonical string's inside: the character, and how many bytes
// spell it. b MUST NOT be empty.
func nextRune(b []byte) (r rune, n int) {
	if b[0] != '\\' {
		return utf8.DecodeRune(b)
	}
	switch b[1] {
	case 'b':
		return '\b', 2
	case 'f':
		return '\f', 2
	case 'n':
		return '\n', 2
	case 'r':
		return '\r', 2
	case 't':
		return '\t', 2
	case 'u':
		return hex4(b, 0), 6
	}
	return rune(b[1]), 2
}
