package event

import (
	"bytes"
	"cmp"
	"slices"
)

// arrange puts the members of the object that has just been read, which are on the stack from base on,
// into canonical order. It fails where two have the same name.
func (s *scanner) arrange(base int) bool {
	members := s.stack[base:]
	if s.ascending(members) {
		return true
	}
	if !s.sortMembers(members) {
		return false
	}
	size := -1 // of the members with commas between them: what stands between the brackets
	for _, m := range members {
		size += int(m.end-m.start) + 1
	}
	var space [512]byte
	sorted := space[:0]
	if size >= len(space) {
		// One space serves all large objects: nested ones would ask for megabytes each.
		s.spare = slices.Grow(s.spare[:0], size+1)
		sorted = s.spare
	}
	for _, m := range members {
		sorted = append(sorted, s.out[m.start:m.end]...)
		sorted = append(sorted, ',')
	}
	copy(s.out[len(s.out)-1-size:], sorted[:size])
	return true
}

// ascending reports whether each name is greater than the one before it, so that there is neither
// anything to sort nor a duplicate.
func (s *scanner) ascending(members []member) bool {
	for i := 1; i < len(members); i++ {
		if compareMembers(s.out, members[i-1], members[i]) >= 0 {
			return false
		}
	}
	return true
}

// sortMembers sorts by name, and fails where two have the same.
func (s *scanner) sortMembers(members []member) bool {
	out := s.out
	slices.SortFunc(members, func(a, b member) int { return compareMembers(out, a, b) })
	for i := 1; i < len(members); i++ {
		if compareMembers(out, members[i-1], members[i]) == 0 {
			return s.duplicate(members[i].name(out))
		}
	}
	return true
}

func (s *scanner) duplicate(name []byte) bool {
	s.fail(DuplicateMember, "is named twice in one object")
	s.fault.inMember(name)
	return false
}

func compareMembers(out []byte, a, b member) int {
	if a.odd || b.odd {
		return compareNames(a.name(out), b.name(out))
	}
	return bytes.Compare(a.name(out), b.name(out))
}

// compareNames orders two names, the insides of canonical strings, by their UTF-16 code units as RFC
// 8785 section 3.2.3 has it.
func compareNames(a, b []byte) int {
	for len(a) > 0 && len(b) > 0 {
		x, n := nextRune(a)
		y, m := nextRune(b)
		if x != y {
			return cmp.Compare(utf16Rank(x), utf16Rank(y))
		}
		a, b = a[n:], b[m:]
	}
	return cmp.Compare(len(a), len(b))
}

// utf16Rank orders characters as their UTF-16 code units do: those that take two, which begin with D800
// to DBFF, come before U+E000 to U+FFFF.
func utf16Rank(r rune) rune {
	if 0xe000 <= r && r <= 0xffff {
		return r + 0x110000
	}
	return r
}
