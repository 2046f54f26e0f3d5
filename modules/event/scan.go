package event

import "bytes"

// scanner reads JSON strictly (RFC 8259, and no duplicate member) and writes its canonical form, in one
// pass: what is canonical already is copied, and an object whose members come unsorted is put in order
// when it closes.
//
// It is written by hand, since it does at once what a token reader and a canonicaliser do in two, and
// since it must say which rule a text breaks; a library says that only in words that may quote the text.
// BenchmarkJSONText has what the library costs, and the tests hold the two against each other.
// Its methods report false when they have failed; what failed is in fault then, and nothing else of the
// scanner means anything any more.
type scanner struct {
	in    []byte
	pos   int
	out   []byte
	stack []member // members of all objects that are open; each object pops its own
	spare []byte   // where large objects are put in order
	grown int      // how many more bytes the numbers would take if they were written out plainly

	limit          int  // deepest nesting allowed
	refuseReserved bool // fail at a reserved member name
	deepest        int  // deepest nesting seen
	reserved       bool // a reserved member name was seen

	fault fault
}

// member is where a member of an object lies in scanner.out, as "name":value.
type member struct {
	start   uint32 // at the name's opening quote
	nameEnd uint32 // at the name's closing quote
	end     uint32 // behind the value
	odd     bool   // the name does not sort as its bytes
}

// name is the inside of m's name, in canonical spelling.
func (m member) name(out []byte) []byte { return out[m.start+1 : m.nameEnd] }

// value is m's value.
func (m member) value(out []byte) []byte { return out[m.nameEnd+2 : m.end : m.end] }

// space skips insignificant whitespace.
func (s *scanner) space() {
	for s.pos < len(s.in) {
		switch s.in[s.pos] {
		case ' ', '\t', '\n', '\r':
			s.pos++
		default:
			return
		}
	}
}

// end reports whether nothing but whitespace follows.
func (s *scanner) end() bool {
	s.space()
	return s.pos == len(s.in) || s.malformed(s.pos, "something follows the JSON value")
}

// peek is the next byte; 0, which begins nothing in JSON, at the end.
func (s *scanner) peek() byte {
	if s.pos == len(s.in) {
		return 0
	}
	return s.in[s.pos]
}

// value reads any value. depth is how many arrays and objects it lies in.
func (s *scanner) value(depth int) bool {
	s.space()
	switch c := s.peek(); c {
	case '"':
		_, ok := s.text()
		return ok
	case '{':
		return s.object(depth + 1)
	case '[':
		return s.array(depth + 1)
	case 't':
		return s.literal("true")
	case 'f':
		return s.literal("false")
	case 'n':
		return s.literal("null")
	default:
		if c == '-' || c-'0' <= 9 {
			return s.number()
		}
		return s.malformed(s.pos, "a value is expected")
	}
}

func (s *scanner) literal(word string) bool {
	if !bytes.HasPrefix(s.in[s.pos:], []byte(word)) {
		return s.malformed(s.pos, "a value is expected")
	}
	s.out = append(s.out, word...)
	s.pos += len(word)
	return true
}

// enter steps over the opening bracket of the array or object at depth.
func (s *scanner) enter(depth int) bool {
	if depth > s.limit {
		return s.fail(TooDeep, "is nested too deeply")
	}
	s.deepest = max(s.deepest, depth)
	s.out = append(s.out, s.in[s.pos])
	s.pos++
	s.space()
	return true
}

// leave writes the closing bracket in place of the last comma, or behind an opening one.
func (s *scanner) leave(bracket byte) bool {
	if last := len(s.out) - 1; s.out[last] == ',' {
		s.out[last] = bracket
	} else {
		s.out = append(s.out, bracket)
	}
	s.pos++
	return true
}

// array reads an array that lies at depth, itself included.
func (s *scanner) array(depth int) bool {
	if !s.enter(depth) {
		return false
	}
	if s.peek() == ']' {
		return s.leave(']')
	}
	for i := 0; ; i++ {
		if !s.value(depth) {
			s.fault.inElement(i)
			return false
		}
		s.out = append(s.out, ',')
		s.space()
		switch s.peek() {
		case ',':
			s.pos++
		case ']':
			return s.leave(']')
		default:
			return s.malformed(s.pos, "a comma or the array's end is expected")
		}
	}
}

// object reads an object that lies at depth, itself included, and puts its members in order.
func (s *scanner) object(depth int) bool {
	base := len(s.stack)
	if !s.members(depth) {
		return false
	}
	if !s.arrange(base) {
		return false
	}
	s.stack = s.stack[:base]
	return true
}

// members reads an object as it stands and leaves its members on the stack, in the order of the input.
func (s *scanner) members(depth int) bool {
	if !s.enter(depth) {
		return false
	}
	if s.peek() == '}' {
		return s.leave('}')
	}
	for {
		if !s.member(depth) {
			return false
		}
		s.out = append(s.out, ',')
		s.space()
		switch s.peek() {
		case ',':
			s.pos++
			s.space()
		case '}':
			return s.leave('}')
		default:
			return s.malformed(s.pos, "a comma or the object's end is expected")
		}
	}
}

// member reads one name and its value and pushes them.
func (s *scanner) member(depth int) bool {
	if s.peek() != '"' {
		return s.malformed(s.pos, "a member's name is expected")
	}
	m := member{start: uint32(len(s.out))}
	var ok bool
	if m.odd, ok = s.text(); !ok {
		return false
	}
	m.nameEnd = uint32(len(s.out) - 1)
	if IsReserved(m.name(s.out)) {
		s.reserved = true
		if s.refuseReserved {
			s.fail(InvalidField, "is a member name that is reserved")
			s.fault.inMember(m.name(s.out))
			return false
		}
	}
	if s.space(); s.peek() != ':' {
		return s.malformed(s.pos, "a colon is expected")
	}
	s.pos++
	s.out = append(s.out, ':')
	at := len(s.stack)
	s.stack = append(s.stack, m)
	if !s.value(depth) {
		s.fault.inMember(m.name(s.out))
		return false
	}
	s.stack[at].end = uint32(len(s.out))
	return true
}

// IsReserved reports whether no producer may name a member so: these mark values that are sealed and
// values whose key is shredded.
func IsReserved(name []byte) bool {
	return len(name) == 7 && name[0] == '$' && (string(name) == "$sealed" || string(name) == "$erased")
}
