package protect

import "audittrail/modules/event"

// AggregateSubject is the subject of values whose rule names none, or whose event lacks the one that it names.
func AggregateSubject(aggregateType, aggregateID string) string {
	return aggregateType + "/" + aggregateID
}

// of returns the subject that a path leads to, or the event's aggregate; indices say which elements of arrays are meant.
func (p path) of(e *event.Event, indices []int) string {
	if subject := p.named(e, indices); subject != "" {
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
