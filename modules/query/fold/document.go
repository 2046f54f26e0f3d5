package fold

import (
	"bytes"
	"maps"
	"slices"

	"github.com/go-json-experiment/json/jsontext"
)

// readDocument reads canonical JSON.
func readDocument(text []byte) (*document, error) {
	return readAny(jsontext.NewDecoder(bytes.NewBuffer(text), jsontext.AllowDuplicateNames(true)))
}

func readAny(d *jsontext.Decoder) (*document, error) {
	switch d.PeekKind() {
	case '{':
		return readObject(d)
	case '[':
		return readArray(d)
	}
	value, err := d.ReadValue()
	return &document{text: value.Clone()}, err
}

func readObject(d *jsontext.Decoder) (*document, error) {
	if _, err := d.ReadToken(); err != nil {
		return nil, err
	}
	o := &document{members: map[string]*document{}}
	for d.PeekKind() != '}' {
		name, err := d.ReadToken()
		if err != nil {
			return nil, err
		}
		key := name.String()
		if o.members[key], err = readAny(d); err != nil {
			return nil, err
		}
	}
	_, err := d.ReadToken()
	return o, err
}

func readArray(d *jsontext.Decoder) (*document, error) {
	if _, err := d.ReadToken(); err != nil {
		return nil, err
	}
	a := &document{array: true}
	for d.PeekKind() != ']' {
		item, err := readAny(d)
		if err != nil {
			return nil, err
		}
		a.items = append(a.items, item)
	}
	_, err := d.ReadToken()
	return a, err
}

// append appends the value as JSON, members by their names: equal values have equal bytes.
func (d *document) append(dst []byte) []byte {
	switch {
	case d.array:
		dst = append(dst, '[')
		for i, item := range d.items {
			if i > 0 {
				dst = append(dst, ',')
			}
			dst = item.append(dst)
		}
		return append(dst, ']')
	case d.members == nil:
		return append(dst, d.text...)
	}
	dst = append(dst, '{')
	for i, name := range slices.Sorted(maps.Keys(d.members)) {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst, _ = jsontext.AppendQuote(dst, name) // names of stored events are valid UTF-8
		dst = d.members[name].append(append(dst, ':'))
	}
	return append(dst, '}')
}

func (d *document) clone() *document {
	c := &document{text: d.text, array: d.array}
	for _, item := range d.items {
		c.items = append(c.items, item.clone())
	}
	if d.members != nil {
		c.members = make(map[string]*document, len(d.members))
		for name, member := range d.members {
			c.members[name] = member.clone()
		}
	}
	return c
}
