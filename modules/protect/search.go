package protect

import (
	"context"

	"audittrail/modules/event"
	"audittrail/platform/errs"
)

// Searcher takes patterns apart for the values in them that may be sealed. It is safe for concurrent use.
type Searcher struct {
	rules *typeRules
	keys  *Keyring
}

// NewSearcher returns a Searcher; nil where no rule says `search`.
func NewSearcher(rules *Rules, keys *Keyring) *Searcher {
	for i := range rules.list {
		if rules.list[i].search {
			return &Searcher{rules.every(), keys}
		}
	}
	return nil
}

// Pattern is a JSON pattern in which values may be sealed. Parts[0] + v0 + Parts[1] + … is the pattern, where v0 is
// Values[0] as it stands in a document: open, or a placeholder for what is sealed.
type Pattern struct {
	Parts  [][]byte
	Values []SoughtValue
	Rest   []byte // the pattern without these values; nil if it has no scalar then, by which it could be looked up
}

// SoughtValue is a scalar of a pattern.
type SoughtValue struct {
	Open   []byte       // in canonical form
	Tokens []TokenValue // it has one of these where it is sealed
}

// maxSought bounds the sealed values of a pattern: each makes the statement longer.
const maxSought = 8

var errTooMany = errs.New(errs.Invalid, "invalid_parameter", "names more than %d fields that may be sealed", maxSought)

// Payload takes apart a payload pattern in canonical form; ok is false if no rule can have sealed a value of it. An
// error says that the keys are out of reach.
func (s *Searcher) Payload(ctx context.Context, pattern []byte) (p Pattern, ok bool, err error) {
	return s.apart(ctx, pattern, s.rules.payload, "payload")
}

// UserID returns the pattern of metadata whose userId is this; ok is false if no rule can have sealed it.
func (s *Searcher) UserID(ctx context.Context, userID string) (p Pattern, ok bool, err error) {
	pattern := []byte(`{"userId":"` + event.SpellName(userID) + `"}`)
	return s.apart(ctx, pattern, s.rules.metadata, "userId")
}

func (s *Searcher) apart(ctx context.Context, pattern []byte, n *node, field string) (Pattern, bool, error) {
	w := dissection{}
	rest, _ := w.value(nil, pattern, n)
	if len(w.rules) == 0 {
		return Pattern{}, false, nil
	}
	if len(w.rules) > maxSought {
		return Pattern{}, false, errTooMany.InField(field)
	}
	root, err := s.keys.loaded(ctx)
	if err != nil {
		return Pattern{}, false, err
	}
	w.Parts = append(w.Parts, w.part)
	if w.scalars {
		w.Rest = rest
	}
	for i, rules := range w.rules {
		for _, r := range rules {
			w.Values[i].Tokens = append(w.Values[i].Tokens, tokenOf(newTokens(root.tokenKey(r)), w.Values[i].Open))
		}
	}
	return w.Pattern, true, nil
}

// dissection walks a pattern.
type dissection struct {
	Pattern
	part    []byte    // since the last value
	rules   [][]*rule // that may have sealed the values
	scalars bool      // the rest has one
}

// value walks a value of the pattern, and appends what is left of it without values that may be sealed to rest; ok is
// false if that is nothing.
func (d *dissection) value(rest, value []byte, n *node) (_ []byte, ok bool) {
	var sealing []*rule
	if n != nil && isScalar(value) {
		for _, r := range n.rules {
			if r.search {
				sealing = append(sealing, r)
			}
		}
	}
	switch {
	case len(sealing) > 0:
		d.Parts, d.part = append(d.Parts, d.part), nil
		d.Values, d.rules = append(d.Values, SoughtValue{Open: value}), append(d.rules, sealing)
		return rest, false
	case n != nil && value[0] == '{' && len(n.members) > 0:
		rest, d.part = append(rest, '{'), append(d.part, '{')
		begin, first := len(rest), true
		for name, member := range event.Members(value) {
			if !first {
				d.part = append(d.part, ',')
			}
			first = false
			back := len(rest)
			if back > begin {
				rest = append(rest, ',')
			}
			rest, d.part = appendMember(rest, name), appendMember(d.part, name)
			if rest, ok = d.value(rest, member, n.members[string(name)]); !ok {
				rest = rest[:back]
			}
		}
		d.part = append(d.part, '}')
		return append(rest, '}'), true
	case n != nil && value[0] == '[' && n.items != nil:
		rest, d.part = append(rest, '['), append(d.part, '[')
		begin := len(rest)
		for i, element := range event.Elements(value) {
			if i > 0 {
				d.part = append(d.part, ',')
			}
			back := len(rest)
			if back > begin {
				rest = append(rest, ',')
			}
			if rest, ok = d.value(rest, element, n.items); !ok {
				rest = rest[:back]
			}
		}
		d.part = append(d.part, ']')
		return append(rest, ']'), true
	}
	d.scalars = d.scalars || value[0] != '{' && value[0] != '['
	d.part = append(d.part, value...)
	return append(rest, value...), true
}

func appendMember(dst, name []byte) []byte {
	return append(append(append(dst, '"'), name...), '"', ':')
}
