package protect

import (
	"strings"
	"unicode"
	"unicode/utf8"

	"audittrail/modules/event"
)

// MaxSubject is how many characters a subject may have.
const MaxSubject = 1000

// IsSubject reports whether a text can be a subject: one that a request to erase can name.
func IsSubject(text string) bool {
	return text != "" && utf8.ValidString(text) && utf8.RuneCountInString(text) <= MaxSubject && !strings.ContainsFunc(text, unicode.IsControl)
}

// AggregateSubject is the subject of values whose rule names none, or whose event lacks the one that it names.
func AggregateSubject(aggregateType, aggregateID string) string {
	return aggregateType + "/" + aggregateID
}

// of returns the subject that a path leads to, or the event's aggregate; indices say which elements of arrays are meant.
// A text that can't be a subject is none: what is sealed for it could never be erased.
func (p path) of(e *event.Event, indices []int) string {
	if subject := p.named(e, indices); IsSubject(subject) {
		return subject
	}
	return AggregateSubject(e.AggregateType, e.AggregateID)
}

// named returns the subject that a path leads to, or "" if it leads to none.
func (p path) named(e *event.Event, indices []int) string {
	var at []byte
	switch p.root {
	case "aggregateId":
		return e.AggregateID
	case "payload":
		at = e.Payload
	case "metadata":
		at = e.Metadata
	default:
		return ""
	}
	for _, step := range p.steps {
		var next []byte
		switch {
		case step == each && at[0] == '[' && len(indices) > 0:
			for i, element := range event.Elements(at) {
				if i == indices[0] {
					next = element
					break
				}
			}
			indices = indices[1:]
		case step != each && at[0] == '{':
			for name, member := range event.Members(at) {
				if string(name) == step {
					next = member
					break
				}
			}
		}
		if next == nil {
			return ""
		}
		at = next
	}
	if text, ok := event.TextOf(at); ok {
		return text
	}
	if at[0] == '-' || at[0] >= '0' && at[0] <= '9' {
		return string(at)
	}
	return ""
}
