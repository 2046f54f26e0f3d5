package protect

import "audittrail/modules/event"

// MaskQuery puts the placeholder in the place of values of sealed fields in a query. A payload filter that is no JSON
// is left out. Without rules it changes nothing.
func (r *Rules) MaskQuery(query map[string][]string) {
	if r == nil || r.Empty() {
		return
	}
	var patterns []string
	for _, text := range query["payload"] {
		if masked, ok := r.maskPattern(text); ok {
			patterns = append(patterns, masked)
		}
	}
	if delete(query, "payload"); len(patterns) > 0 {
		query["payload"] = patterns
	}
	if r.Seals("userId") {
		for i := range query["userId"] {
			query["userId"][i] = maskedForm
		}
	}
}

// maskPattern returns a payload filter with the placeholder in the place of values that rules seal in any type of
// event. What is no JSON is left out altogether.
func (r *Rules) maskPattern(text string) (string, bool) {
	pattern, err := event.Canonicalize(nil, []byte(text))
	if err != nil {
		return "", false
	}
	n := r.every().payload
	if n.items != nil && pattern[0] != '[' && pattern[0] != '{' { // an array contains its elements
		n = n.items
	}
	return string(editPattern(nil, pattern, n, func(dst, _ []byte, _ []*rule) []byte { return append(dst, maskedForm...) })), true
}

// SealsPattern reports whether a payload filter asks for a value that rules seal in some type of event.
func (r *Rules) SealsPattern(text string) bool {
	if r == nil || r.Empty() {
		return false
	}
	plain, err := event.Canonicalize(nil, []byte(text))
	masked, ok := r.maskPattern(text)
	return err != nil || !ok || masked != string(plain)
}

// every returns the rules of all types together.
func (r *Rules) every() *typeRules {
	t := &typeRules{&node{}, &node{}}
	for i := range r.list {
		t.add(&r.list[i])
	}
	return t
}

// editPattern appends a pattern, with what replace appends in the place of values that rules seal.
func editPattern(dst, value []byte, n *node, replace func(dst, value []byte, rules []*rule) []byte) []byte {
	switch {
	case n == nil:
		return append(dst, value...)
	case len(n.rules) > 0:
		return replace(dst, value, n.rules)
	case value[0] == '{' && len(n.members) > 0:
		dst = append(dst, '{')
		first := len(dst)
		for name, member := range event.Members(value) {
			if len(dst) > first {
				dst = append(dst, ',')
			}
			dst = append(append(append(dst, '"'), name...), '"', ':')
			dst = editPattern(dst, member, n.members[string(name)], replace)
		}
		return append(dst, '}')
	case value[0] == '[' && n.items != nil:
		dst = append(dst, '[')
		for i, element := range event.Elements(value) {
			if i > 0 {
				dst = append(dst, ',')
			}
			dst = editPattern(dst, element, n.items, replace)
		}
		return append(dst, ']')
	}
	return append(dst, value...)
}
