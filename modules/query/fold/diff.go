package fold

import (
	"bytes"
	"strings"

	"github.com/go-json-experiment/json/jsontext"

	"audittrail/modules/event"
)

// Change is a step of a JSON Patch (RFC 6902), and the event that caused it.
type Change struct {
	Op    string         // add, remove or replace
	Path  string         // a JSON Pointer (RFC 6901)
	Value jsontext.Value // nil for remove
	Event event.ID
}

// Since returns what changed from the mark to the state now: a JSON Patch that makes the one of the other.
// What was changed and changed back is no change. Each step names the last event that changed what is at
// its path; where several events made parts of a new object, there is a step for each. The fold MUST
// remember changes.
func (f *Fold) Since(from Mark) []Change {
	d := differ{ids: f.ids, changes: []Change{}}
	d.compare(from.root, f.tree.root, "")
	return d.changes
}

type differ struct {
	ids     []event.ID
	changes []Change
}

func (d *differ) compare(a, b *node, path string) {
	if a.kind != object || b.kind != object {
		if a.kind != b.kind || !bytes.Equal(a.text, b.text) {
			d.put("replace", path, b)
		}
		return
	}
	for _, name := range a.names() {
		below := path + "/" + escape(name)
		switch m := b.members[name]; {
		case m == nil: // gone since its parent was made anew, by a fold that is no continuation of the mark
			d.step("remove", below, nil, b.by)
		case m.kind == absent:
			d.step("remove", below, nil, m.by)
		default:
			d.compare(a.members[name], m, below)
		}
	}
	for _, name := range b.names() {
		if a.members[name] == nil {
			d.put("add", path+"/"+escape(name), b.members[name])
		}
	}
}

// put gives the steps that put n at the path: one for n with all parts that its event made, and one for
// each part that another event made.
func (d *differ) put(op, path string, n *node) {
	same := func(m *node) bool { return m.by == n.by }
	d.step(op, path, n.appendWhere(nil, same), n.by)
	d.putOthers(path, n, n.by)
}

func (d *differ) putOthers(path string, n *node, by int32) {
	if n.kind != object {
		return
	}
	for _, name := range n.names() {
		m, below := n.members[name], path+"/"+escape(name)
		if m.by == by {
			d.putOthers(below, m, by)
			continue
		}
		d.put("add", below, m)
	}
}

func (d *differ) step(op, path string, value []byte, by int32) {
	c := Change{Op: op, Path: path, Value: value}
	if by >= 0 {
		c.Event = d.ids[by]
	}
	d.changes = append(d.changes, c)
}

// escape spells a name as a JSON Pointer's part (RFC 6901, section 3).
func escape(name string) string {
	if !strings.ContainsAny(name, "~/") {
		return name
	}
	return strings.ReplaceAll(strings.ReplaceAll(name, "~", "~0"), "/", "~1")
}
