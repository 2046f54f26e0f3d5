package protect

import (
	"bytes"
	"context"
	"slices"

	"audittrail/modules/event"
)

// Mask replaces all sealed values of an event by the placeholder for readers who may not see them.
func Mask(e *event.Event) {
	for _, document := range documents(e) {
		*document.text = rewrite(*document.text, document.name, func(dst, _, _ []byte) []byte { return append(dst, maskedForm...) })
	}
}

// Placeholders reports whether an event that was read has placeholders: of values that are sealed or do not open, and of
// erased ones.
func Placeholders(e *event.Event) (sealed, erased bool) {
	for _, document := range documents(e) {
		sealed = sealed || bytes.Contains(*document.text, []byte(sealedBegin))
		erased = erased || bytes.Contains(*document.text, []byte(erasedForm))
	}
	return sealed, erased
}

// Opener opens sealed values. It is safe for concurrent use.
type Opener struct{ keys *Keyring }

// NewOpener returns an Opener.
func NewOpener(keys *Keyring) *Opener { return &Opener{keys} }

// Open replaces all sealed values of the events by what they hold, or by the placeholder of erased values, and returns
// the ids of the keys that opened something, sorted. A value that does not open in its place gets a placeholder that says
// so, and so does one whose key nobody knows; all others open.
func (o *Opener) Open(ctx context.Context, events []*event.Event) (opened []KeyID, err error) {
	return o.rewrite(ctx, events, true)
}

// Mask replaces all sealed values of the events by placeholders: that of sealed values, or that of erased ones.
func (o *Opener) Mask(ctx context.Context, events []*event.Event) error {
	_, err := o.rewrite(ctx, events, false)
	return err
}

// Destroyed returns which of some keys are destroyed.
func (o *Opener) Destroyed(ctx context.Context, ids []KeyID) (map[KeyID]bool, error) {
	keys, err := o.keys.byID(ctx, ids)
	destroyed := map[KeyID]bool{}
	for id, key := range keys {
		if key.aead == nil && !key.altered {
			destroyed[id] = true
		}
	}
	return destroyed, err
}

func (o *Opener) rewrite(ctx context.Context, events []*event.Event, open bool) (opened []KeyID, err error) {
	wanted := map[KeyID]bool{}
	for _, e := range events {
		for _, document := range documents(e) {
			for rest := *document.text; ; {
				at := bytes.Index(rest, []byte(textBegin))
				if at < 0 {
					break
				}
				rest = rest[at:]
				if id, _, ok := parseText(rest[:bytes.IndexByte(rest, '}')+1]); ok {
					wanted[id] = true
				}
				rest = rest[len(textBegin):]
			}
		}
	}
	if len(wanted) == 0 {
		return nil, nil
	}
	ids := make([]KeyID, 0, len(wanted))
	for id := range wanted {
		ids = append(ids, id)
	}
	keys, err := o.keys.byID(ctx, ids)
	if err != nil {
		return nil, err
	}
	used := map[KeyID]bool{}
	var space []byte
	for _, e := range events {
		for _, document := range documents(e) {
			*document.text = rewrite(*document.text, document.name, func(dst, value, pointer []byte) []byte {
				id, sealed, ok := parseText(value)
				key, known := keys[id]
				switch {
				case known && key.aead == nil && !key.altered:
					return append(dst, erasedForm...)
				case !open:
					return append(dst, maskedForm...)
				case !ok || key.altered:
					return append(dst, alteredForm...)
				case !known:
					return append(dst, keyUnknownForm...)
				}
				space = bound(space[:0], e.ID, id, pointer)
				plain, err := key.aead.Open(nil, sealed[:nonceSize], sealed[nonceSize:], space)
				if err != nil {
					return append(dst, alteredForm...)
				}
				used[id] = true
				return append(dst, bytes.TrimRight(plain, " ")...)
			})
		}
	}
	for id := range used {
		opened = append(opened, id)
	}
	slices.SortFunc(opened, func(a, b KeyID) int { return bytes.Compare(a[:], b[:]) })
	return opened, nil
}

// document is a part of an event that may hold sealed values.
type document struct {
	name string
	text *[]byte
}

func documents(e *event.Event) [2]document {
	return [2]document{{"payload", &e.Payload}, {"metadata", &e.Metadata}}
}

// rewrite returns a document with each sealed value replaced by what replace appends for it.
func rewrite(text []byte, name string, replace func(dst, value, pointer []byte) []byte) []byte {
	if !bytes.Contains(text, []byte(textBegin)) {
		return text
	}
	w := rewriter{replace: replace, pointer: append([]byte{'/'}, name...)}
	w.value(text)
	return w.out
}

// rewriter walks a document, and keeps the pointer of where it is.
type rewriter struct {
	out, pointer []byte
	replace      func(dst, value, pointer []byte) []byte
}

func (w *rewriter) value(v []byte) {
	back := len(w.pointer)
	switch {
	case bytes.HasPrefix(v, []byte(sealedBegin)):
		w.out = w.replace(w.out, v, w.pointer)
	case v[0] == '{' && bytes.Contains(v, []byte(sealedBegin)):
		w.out = append(w.out, '{')
		first := true
		for name, member := range event.Members(v) {
			if !first {
				w.out = append(w.out, ',')
			}
			first = false
			w.out = append(append(append(w.out, '"'), name...), '"', ':')
			w.pointer = appendName(w.pointer, name)
			w.value(member)
			w.pointer = w.pointer[:back]
		}
		w.out = append(w.out, '}')
	case v[0] == '[' && bytes.Contains(v, []byte(sealedBegin)):
		w.out = append(w.out, '[')
		for i, element := range event.Elements(v) {
			if i > 0 {
				w.out = append(w.out, ',')
			}
			w.pointer = appendIndex(w.pointer, i)
			w.value(element)
			w.pointer = w.pointer[:back]
		}
		w.out = append(w.out, ']')
	default:
		w.out = append(w.out, v...)
	}
}
