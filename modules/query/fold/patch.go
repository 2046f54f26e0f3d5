package fold

import (
	"bytes"
	"context"
	"errors"
	"slices"
	"strconv"
	"strings"

	"github.com/go-json-experiment/json/jsontext"
)

// operation is a step of a JSON Patch.
type operation struct {
	op, path, from string
	value          *document
}

// document is a JSON value of a patch's target. Other than a node it opens arrays.
type document struct {
	text    jsontext.Value       // of what is neither object nor array
	members map[string]*document // of an object
	items   []*document          // of an array
	array   bool
}

var (
	errPatch   = errors.New("the payload is no JSON Patch")
	errPointer = errors.New("a path of the patch leads nowhere")
	errTest    = errors.New("a test of the patch fails")
)

// patch applies a JSON Patch (RFC 6902) to the state: all of its steps, or none.
func (t *tree) patch(ctx context.Context, payload []byte) error {
	steps, err := readPatch(payload)
	if err != nil {
		return err
	}
	root, err := readDocument(t.root.append(nil))
	if err != nil {
		return err
	}
	copied := 0
	for _, step := range steps {
		if err := ctx.Err(); err != nil {
			return err
		}
		if copied += step.copies(root); copied > MaxState {
			return ErrTooLarge
		}
		if root, err = step.apply(root); err != nil {
			return err
		}
	}
	text := root.append(nil)
	if len(text) > MaxState {
		return ErrTooLarge
	}
	value, err := parse(text)
	if err != nil {
		return err
	}
	t.assign(t.root, value)
	return nil
}

func readPatch(payload []byte) ([]operation, error) {
	list, err := readDocument(payload)
	if err != nil {
		return nil, err
	}
	if !list.array {
		return nil, errPatch
	}
	steps := make([]operation, 0, len(list.items))
	for _, item := range list.items {
		var o operation
		for name, into := range map[string]*string{"op": &o.op, "path": &o.path, "from": &o.from} {
			member := item.members[name]
			if member == nil {
				continue
			}
			if member.text.Kind() != '"' {
				return nil, errPatch
			}
			text, err := jsontext.AppendUnquote(nil, member.text)
			if err != nil {
				return nil, err
			}
			*into = string(text)
		}
		o.value = item.members["value"]
		wantsFrom := o.op == "move" || o.op == "copy"
		if item.members["path"] == nil || wantsFrom && item.members["from"] == nil {
			return nil, errPatch
		}
		steps = append(steps, o)
	}
	return steps, nil
}

// copies is how many bytes a step copies. Copies of copies double: forty steps would fill any memory.
func (o operation) copies(root *document) int {
	if o.op != "copy" {
		return 0
	}
	source, err := root.find(o.from)
	if err != nil {
		return 0 // apply says so
	}
	return len(source.append(nil))
}

// apply answers the root after the step.
func (o operation) apply(root *document) (*document, error) {
	switch o.op {
	case "add", "replace", "test":
		if o.value == nil {
			return nil, errPatch
		}
	}
	switch o.op {
	case "add":
		return root.add(o.path, o.value.clone())
	case "remove":
		_, err := root.remove(o.path)
		return root, err
	case "replace":
		if _, err := root.find(o.path); err != nil {
			return nil, err
		}
		return root.set(o.path, o.value.clone())
	case "move":
		if strings.HasPrefix(o.path, o.from+"/") {
			return nil, errPointer
		}
		if o.path == o.from {
			_, err := root.find(o.path)
			return root, err
		}
		moved, err := root.remove(o.from)
		if err != nil {
			return nil, err
		}
		return root.add(o.path, moved)
	case "copy":
		source, err := root.find(o.from)
		if err != nil {
			return nil, err
		}
		return root.add(o.path, source.clone())
	case "test":
		found, err := root.find(o.path)
		if err == nil && !bytes.Equal(found.append(nil), o.value.append(nil)) {
			err = errTest
		}
		return root, err
	}
	return nil, errPatch
}

// tokens are a JSON Pointer's parts; none for the whole document.
func tokens(path string) ([]string, error) {
	if path == "" {
		return nil, nil
	}
	if path[0] != '/' {
		return nil, errPointer
	}
	parts := strings.Split(path[1:], "/")
	for i, part := range parts {
		for j := range len(part) {
			if part[j] == '~' && (j+1 == len(part) || part[j+1] != '0' && part[j+1] != '1') {
				return nil, errPointer
			}
		}
		parts[i] = strings.ReplaceAll(strings.ReplaceAll(part, "~1", "/"), "~0", "~")
	}
	return parts, nil
}

func (d *document) find(path string) (*document, error) {
	parts, err := tokens(path)
	if err != nil {
		return nil, err
	}
	for _, part := range parts {
		if d, err = d.child(part); err != nil {
			return nil, err
		}
	}
	return d, nil
}

func (d *document) child(name string) (*document, error) {
	if d.array {
		i, err := d.index(name, len(d.items)-1)
		if err != nil {
			return nil, err
		}
		return d.items[i], nil
	}
	if child := d.members[name]; child != nil {
		return child, nil
	}
	return nil, errPointer
}

// index reads an array's index, which may be up to most.
func (d *document) index(name string, most int) (int, error) {
	i, err := strconv.Atoi(name)
	if err != nil || strconv.Itoa(i) != name || i < 0 || i > most {
		return 0, errPointer
	}
	return i, nil
}

// parent finds what holds the path's last part.
func (d *document) parent(path string) (*document, string, error) {
	parent, name := path[:strings.LastIndexByte(path, '/')], path[strings.LastIndexByte(path, '/'):]
	found, err := d.find(parent)
	if err != nil {
		return nil, "", err
	}
	last, err := tokens(name)
	if err != nil || found.members == nil && !found.array {
		return nil, "", errPointer
	}
	return found, last[0], nil
}

func (d *document) add(path string, value *document) (*document, error) {
	if path == "" {
		return value, nil
	}
	if path[0] != '/' {
		return nil, errPointer
	}
	parent, name, err := d.parent(path)
	if err != nil {
		return nil, err
	}
	if !parent.array {
		parent.members[name] = value
		return d, nil
	}
	at := len(parent.items)
	if name != "-" {
		if at, err = parent.index(name, at); err != nil {
			return nil, err
		}
	}
	parent.items = slices.Insert(parent.items, at, value)
	return d, nil
}

// set replaces what is at the path, which is there.
func (d *document) set(path string, value *document) (*document, error) {
	if path == "" {
		return value, nil
	}
	parent, name, err := d.parent(path)
	if err != nil {
		return nil, err
	}
	if !parent.array {
		parent.members[name] = value
		return d, nil
	}
	i, err := parent.index(name, len(parent.items)-1)
	if err != nil {
		return nil, err
	}
	parent.items[i] = value
	return d, nil
}

func (d *document) remove(path string) (*document, error) {
	if path == "" || path[0] != '/' {
		return nil, errPointer // the root can be replaced, and not be gone
	}
	parent, name, err := d.parent(path)
	if err != nil {
		return nil, err
	}
	gone, err := parent.child(name)
	if err != nil {
		return nil, err
	}
	if !parent.array {
		delete(parent.members, name)
		return gone, nil
	}
	i, err := parent.index(name, len(parent.items)-1)
	if err != nil {
		return nil, err
	}
	parent.items = slices.Delete(parent.items, i, i+1)
	return gone, nil
}
