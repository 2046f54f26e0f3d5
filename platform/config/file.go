package config

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"github.com/go-json-experiment/json"
	"go.yaml.in/yaml/v3"
)

// maxFile bounds the configuration file, in bytes.
const maxFile = 4 << 20

// fileReader gathers the settings of one YAML file. It reads the document's nodes and not a Go map,
// for the line of each key, and since maps would hide a key that is given twice.
type fileReader struct {
	schema *Schema
	path   string
	names  []string // all keys and sections, for suggestions
	found  map[string]setting
	errs   []error
}

// readFile finds the keys in a YAML file. Sections nest (http: {addr: …}) or are dotted (http.addr: …).
// A key without a value (`redis:`) counts as not set.
func (s *Schema) readFile(path string) (map[string]setting, []error) {
	root, err := parseYAML(path)
	if err != nil {
		return nil, []error{err}
	}
	r := &fileReader{schema: s, path: path, found: map[string]setting{}}
	for i := range s.keys {
		r.names = append(r.names, s.keys[i].Name)
		if section, _, nested := cutLast(s.keys[i].Name); nested && !slices.Contains(r.names, section) {
			r.names = append(r.names, section)
		}
	}
	if root != nil {
		r.section("", root)
	}
	return r.found, r.errs
}

// parseYAML reads the file's one document; nil where it is empty.
func parseYAML(path string) (*yaml.Node, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("configuration file: %w", err)
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err != nil {
		return nil, fmt.Errorf("configuration file: %w", err)
	}
	if len(b) > maxFile {
		return nil, fmt.Errorf("configuration file %s is larger than %d bytes", path, maxFile)
	}
	dec := yaml.NewDecoder(bytes.NewReader(b))
	var doc yaml.Node
	switch err := dec.Decode(&doc); {
	case errors.Is(err, io.EOF):
		return nil, nil
	case err != nil:
		// The library's message names the line and the rule, not the value.
		return nil, fmt.Errorf("configuration file %s is not YAML: %w", path, err)
	}
	if err := dec.Decode(new(yaml.Node)); !errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("configuration file %s holds more than one document", path)
	}
	return doc.Content[0], nil
}

func (r *fileReader) fail(line int, format string, args ...any) {
	r.errs = append(r.errs, fmt.Errorf("file %s, line %d: %s", r.path, line, fmt.Sprintf(format, args...)))
}

// section reads a mapping whose keys all begin with prefix. It descends only where the schema has a
// section, so a document that refers to itself ends.
func (r *fileReader) section(prefix string, n *yaml.Node) {
	if n.Kind == yaml.AliasNode {
		n = n.Alias
	}
	if n.Kind == yaml.ScalarNode && n.Tag == "!!null" {
		return
	}
	if n.Kind != yaml.MappingNode {
		r.fail(n.Line, "%s must be a section with keys", orRoot(prefix))
		return
	}
	for i := 0; i+1 < len(n.Content); i += 2 {
		k, v := n.Content[i], n.Content[i+1]
		name := join(prefix, k.Value)
		if k.Kind != yaml.ScalarNode || k.Value == "" {
			r.fail(k.Line, "a key of %s must be a name", orRoot(prefix))
			continue
		}
		if at, ok := r.schema.byName[name]; ok {
			r.leaf(&r.schema.keys[at], k.Line, v)
		} else if r.schema.isSection(name) {
			r.section(name, v)
		} else {
			r.fail(k.Line, "key %s is not known%s", name, didYouMean(name, r.names))
		}
	}
}

// cutLast parts a key from its section.
func cutLast(name string) (section, key string, nested bool) {
	i := strings.LastIndexByte(name, '.')
	if i < 0 {
		return "", name, false
	}
	return name[:i], name[i+1:], true
}

func orRoot(prefix string) string {
	if prefix == "" {
		return "the document"
	}
	return prefix
}

func (r *fileReader) leaf(k *Key, line int, n *yaml.Node) {
	if n.Kind == yaml.AliasNode {
		n = n.Alias
	}
	if first, twice := r.found[k.Name]; twice {
		r.fail(line, "key %s is given twice, first in line %d", k.Name, first.origin.Line)
		return
	}
	text, err := nodeText(k, n)
	if err != nil {
		r.fail(line, "%s %s", k.Name, err)
		return
	}
	if n.Kind == yaml.ScalarNode && n.Tag == "!!null" {
		return
	}
	r.found[k.Name] = setting{text, Origin{Kind: File, Name: r.path, Line: line}}
}

// nodeText is a node's value in a flag's spelling: text, or JSON for what is a list.
func nodeText(k *Key, n *yaml.Node) (string, error) {
	kind := typeName(k.typ)
	isList := kind == "strings" || kind == "list"
	switch {
	case n.Kind == yaml.ScalarNode:
		return n.Value, nil
	case !isList:
		return "", errors.New("must be one value, not a list or a section")
	case n.Kind != yaml.SequenceNode:
		return "", errors.New("must be a list, not a section")
	}
	if kind == "strings" {
		var items []string
		if err := n.Decode(&items); err != nil {
			return "", errors.New("must be a list of strings")
		}
		if len(items) == 0 {
			return "[]", nil
		}
		b, err := json.Marshal(items)
		return string(b), err
	}
	var items []any
	if err := n.Decode(&items); err != nil {
		return "", errors.New("must be a list of objects without repeated members")
	}
	b, err := json.Marshal(items)
	if err != nil {
		return "", errors.New("must be a list of objects whose members are named by strings")
	}
	return string(b), nil
}
