package fold

import (
	"bytes"
	"slices"

	"github.com/go-json-experiment/json/jsontext"
)

// kind is what a node is.
type kind uint8

const (
	absent kind = iota // it was there once
	object
	leaf // anything but an object: arrays are replaced as a whole, as RFC 7396 has it
)

// node is a JSON value, and the event that made it what it is.
type node struct {
	kind    kind
	by      int32            // index of the event that changed it last; of an object: that made it one
	text    []byte           // a leaf's canonical JSON
	members map[string]*node // an object's; of any other node, those that it had as an object
}

// tree is a state with its size.
type tree struct {
	root *node
	by   int32 // index of the event that is being applied
	keep bool  // keep members that are gone, with the event that removed them
	size int   // bytes, about, of all that is kept
}

// nodeBytes is what a node takes beside its name and text.
const nodeBytes = 16

// parse reads canonical JSON.
func parse(text []byte) (*node, error) {
	d := jsontext.NewDecoder(bytes.NewBuffer(text), jsontext.AllowDuplicateNames(true))
	return parseValue(d)
}

func parseValue(d *jsontext.Decoder) (*node, error) {
	if d.PeekKind() != '{' {
		value, err := d.ReadValue()
		if err != nil {
			return nil, err
		}
		return &node{kind: leaf, text: bytes.Clone(value)}, nil
	}
	if _, err := d.ReadToken(); err != nil {
		return nil, err
	}
	n := &node{kind: object, members: map[string]*node{}}
	for d.PeekKind() != '}' {
		name, err := d.ReadToken()
		if err != nil {
			return nil, err
		}
		key := name.String()
		member, err := parseValue(d)
		if err != nil {
			return nil, err
		}
		n.members[key] = member
	}
	_, err := d.ReadToken()
	return n, err
}

func (n *node) isNull() bool { return n.kind == leaf && n.text[0] == 'n' }

// merge applies a merge patch to n: MergePatch of RFC 7396, section 2, in place.
func (t *tree) merge(n, patch *node) {
	if patch.kind != object {
		t.assign(n, patch)
		return
	}
	t.become(n, object)
	for name, value := range patch.members {
		if value.isNull() {
			t.remove(n, name)
			continue
		}
		t.merge(t.member(n, name), value)
	}
}

// assign makes n equal to value, and touches only what differs.
func (t *tree) assign(n, value *node) {
	if value.kind != object {
		if n.kind == leaf && bytes.Equal(n.text, value.text) {
			return
		}
		t.become(n, leaf)
		t.size += len(value.text) - len(n.text)
		n.text, n.by = value.text, t.by
		return
	}
	t.become(n, object)
	for name, member := range n.members {
		if _, stays := value.members[name]; !stays && member.kind != absent {
			t.remove(n, name)
		}
	}
	for name, member := range value.members {
		t.assign(t.member(n, name), member)
	}
}

// become makes n an empty object, or a leaf whose text is still to be set, unless it is one already.
func (t *tree) become(n *node, k kind) {
	if n.kind == k {
		return
	}
	if n.kind == object {
		for name := range n.members {
			t.remove(n, name)
		}
	}
	t.size -= len(n.text)
	n.kind, n.by, n.text = k, t.by, nil
	if k == object && n.members == nil {
		n.members = map[string]*node{}
	}
}

// member returns the member of an object, which is absent where it was not there.
func (t *tree) member(n *node, name string) *node {
	m := n.members[name]
	if m == nil {
		m = &node{by: t.by}
		n.members[name] = m
		t.size += nodeBytes + len(name)
	}
	return m
}

// remove takes a member out of an object.
func (t *tree) remove(n *node, name string) {
	m := n.members[name]
	if m == nil || m.kind == absent {
		return
	}
	if m.kind == object {
		for inner := range m.members {
			t.remove(m, inner)
		}
	}
	t.size -= len(m.text)
	if t.keep {
		m.kind, m.by, m.text = absent, t.by, nil
		return
	}
	t.size -= nodeBytes + len(name)
	delete(n.members, name)
}

// clone copies n without what is gone. Leaves share their texts, which never change.
func (n *node) clone() *node {
	c := &node{kind: n.kind, by: n.by, text: n.text}
	if n.kind != object {
		return c
	}
	c.members = make(map[string]*node, len(n.members))
	for name, m := range n.members {
		if m.kind != absent {
			c.members[name] = m.clone()
		}
	}
	return c
}

// names returns the names of an object's members in their order, without those that are gone.
func (n *node) names() []string {
	names := make([]string, 0, len(n.members))
	for name, m := range n.members {
		if m.kind != absent {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

// append appends the value as JSON, members by their names.
func (n *node) append(dst []byte) []byte {
	return n.appendWhere(dst, func(*node) bool { return true })
}

// appendWhere appends the value with those members alone that fit.
func (n *node) appendWhere(dst []byte, fits func(*node) bool) []byte {
	if n.kind != object {
		return append(dst, n.text...)
	}
	dst = append(dst, '{')
	first := true
	for _, name := range n.names() {
		if m := n.members[name]; fits(m) {
			if !first {
				dst = append(dst, ',')
			}
			first = false
			dst, _ = jsontext.AppendQuote(dst, name) // names of stored events are valid UTF-8
			dst = m.appendWhere(append(dst, ':'), fits)
		}
	}
	return append(dst, '}')
}
