package event

import "iter"

// Elements iterates over the elements of an array that MUST be canonical. They lie in array.
func Elements(array []byte) iter.Seq2[int, []byte] {
	return func(yield func(int, []byte) bool) {
		rest := array[1:]
		for i := 0; rest[0] != ']'; i++ {
			if rest[0] == ',' {
				rest = rest[1:]
			}
			end := valueEnd(rest)
			if !yield(i, rest[:end]) {
				return
			}
			rest = rest[end:]
		}
	}
}

// TextOf returns the text of a canonical value; ok is false if the value is no string.
func TextOf(value []byte) (text string, ok bool) {
	if len(value) < 2 || value[0] != '"' {
		return "", false
	}
	return string(appendUnescaped(nil, value[1:len(value)-1])), true
}

// SpellName returns the inside of a member's name in its canonical spelling. name MUST be valid UTF-8.
func SpellName(name string) string {
	b := appendText(nil, name)
	return string(b[1 : len(b)-1])
}
