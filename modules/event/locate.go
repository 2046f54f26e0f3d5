package event

import (
	"bytes"
	"errors"
	"strconv"

	"github.com/go-json-experiment/json/jsontext"
)

// Locate returns where in a record's value that is wrong lies which a Rejected names: the bytes [from, to) of the
// member at the path of Field, the last one where several are. In a value that is no JSON, that is where it ceases to
// be. ok is false where there is no such place: the member is missing, or the whole record is meant.
func Locate(value []byte, path string) (from, to int, ok bool) {
	l := locator{d: jsontext.NewDecoder(bytes.NewReader(value), jsontext.AllowDuplicateNames(true), jsontext.AllowInvalidUTF8(true)),
		in: value, path: path, from: -1}
	err := l.value()
	if l.from >= 0 {
		return l.from, l.to, true
	}
	if rest := bytes.TrimLeft(value[l.d.InputOffset():], " \t\r\n"); err == nil && path == "" && len(rest) > 0 { // behind the value
		return len(value) - len(rest), len(value) - len(rest) + 1, true
	}
	var syntax *jsontext.SyntacticError
	if !errors.As(err, &syntax) {
		return 0, 0, false
	}
	from = min(int(syntax.ByteOffset), len(value))
	return from, min(from+1, len(value)), true
}

// locator walks over a value and remembers where a path leads.
type locator struct {
	d        *jsontext.Decoder
	in       []byte
	path     string
	steps    []string
	from, to int
}

func (l *locator) value() error {
	kind := l.d.PeekKind()
	from := int(l.d.InputOffset())
	for from < len(l.in) && bytes.IndexByte([]byte(" \t\r\n:,"), l.in[from]) >= 0 {
		from++
	}
	found := len(l.steps) > 0 && joinPath(l.steps...) == l.path
	err := l.inside(kind)
	if found {
		l.from, l.to = from, len(l.in)
		if err == nil {
			l.to = int(l.d.InputOffset())
		}
	}
	return err
}

func (l *locator) inside(kind jsontext.Kind) error {
	if kind != '{' && kind != '[' {
		_, err := l.d.ReadToken()
		return err
	}
	if _, err := l.d.ReadToken(); err != nil {
		return err
	}
	for n := 0; l.d.PeekKind() != '}' && l.d.PeekKind() != ']'; n++ {
		step := "[" + strconv.Itoa(n) + "]"
		if kind == '{' {
			name, err := l.d.ReadToken()
			if err != nil {
				return err
			}
			quoted := appendText(nil, name.String())
			step = pathName(quoted[1 : len(quoted)-1])
		}
		l.steps = append(l.steps, step)
		if err := l.value(); err != nil {
			return err
		}
		l.steps = l.steps[:len(l.steps)-1]
	}
	_, err := l.d.ReadToken()
	return err
}
