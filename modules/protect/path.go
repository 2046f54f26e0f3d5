package protect

import (
	"errors"
	"strings"
	"unicode/utf8"

	"github.com/go-json-experiment/json/jsontext"

	"audittrail/modules/event"
)

// path leads to values of an event: from the payload, the metadata or the aggregateId down by members and through
// all elements of arrays.
type path struct {
	root  string // "payload", "metadata" or "aggregateId"
	steps []string
}

// each is the step through all elements of an array. No member's name in canonical spelling is like it.
const each = "\x00"

var errPath = errors.New(`must be a path such as $.payload.customer.email, $.payload.lines[*].sku or $.metadata.userId; a name with dots or brackets is spelled ["a.b"]`)

// parsePath reads a path as the configuration has it.
func parsePath(text string) (path, error) {
	var p path
	rest, ok := strings.CutPrefix(text, "$.")
	if !ok || !utf8.ValidString(text) {
		return p, errPath
	}
	end := strings.IndexAny(rest+".", ".[")
	p.root, rest = rest[:end], rest[end:]
	switch p.root {
	case "payload", "metadata":
	case "aggregateId":
		if rest != "" {
			return p, errPath
		}
	default:
		return p, errPath
	}
	for rest != "" {
		var step string
		switch {
		case strings.HasPrefix(rest, "[*]"):
			step, rest = each, rest[3:]
		case strings.HasPrefix(rest, `["`):
			value, err := jsontext.NewDecoder(strings.NewReader(rest[1:])).ReadValue()
			if err != nil || !strings.HasPrefix(rest[1+len(value):], "]") {
				return p, errPath
			}
			name, err := jsontext.AppendUnquote(nil, value)
			if err != nil {
				return p, errPath
			}
			step, rest = event.SpellName(string(name)), rest[len(value)+2:]
		case rest[0] == '.':
			rest = rest[1:]
			end := strings.IndexAny(rest+".", ".[")
			if end == 0 || strings.ContainsAny(rest[:end], `]"*`) {
				return p, errPath
			}
			step, rest = event.SpellName(rest[:end]), rest[end:]
		default:
			return p, errPath
		}
		p.steps = append(p.steps, step)
	}
	return p, nil
}

// covers reports whether p leads to where q leads, or to what that lies in.
func (p path) covers(q path) bool {
	if p.root != q.root || len(p.steps) > len(q.steps) {
		return false
	}
	for i, step := range p.steps {
		if q.steps[i] != step {
			return false
		}
	}
	return true
}

// shared reports whether each array of p is one of q's: then an element of q's arrays says which element p means.
func (p path) shared(q path) bool {
	last := 0
	for i, step := range p.steps {
		if step == each {
			last = i + 1
		}
	}
	return last == 0 || path{p.root, p.steps[:last]}.covers(q)
}
