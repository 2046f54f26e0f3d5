package protect

import (
	"bytes"

	"github.com/go-json-experiment/json/jsontext"

	"audittrail/modules/event"
)

// Place is where events of a subject are looked for: in events that hold a document, of one aggregate, or of one user.
// All that is given must fit.
type Place struct {
	AggregateType, AggregateID string
	UserID                     string
	Payload                    []byte // JSON that the payload contains
}

// Places returns where events may lie that the rules say hold values of a subject; all is false where some rule's subject
// is at a place that can't be searched.
func (r *Rules) Places(subject string) (places []Place, all bool) {
	all = true
	quoted, _ := jsontext.AppendQuote(nil, subject) // a subject is valid UTF-8
	add := func(p Place) {
		for _, other := range places {
			if other.AggregateType == p.AggregateType && other.AggregateID == p.AggregateID && other.UserID == p.UserID && bytes.Equal(other.Payload, p.Payload) {
				return
			}
		}
		places = append(places, p)
	}
	for i, c := range subject { // an aggregate, whatever its rule names
		if c == '/' && i > 0 && i < len(subject)-1 {
			add(Place{AggregateType: subject[:i], AggregateID: subject[i+1:]})
		}
	}
	for i := range r.list {
		switch p := r.list[i].subject; {
		case p.root == "payload":
			add(Place{Payload: p.holding(quoted)})
			if number, err := event.Canonicalize(nil, []byte(subject)); err == nil && (number[0] == '-' || number[0] >= '0' && number[0] <= '9') {
				add(Place{Payload: p.holding(number)})
			}
		case p.root == "aggregateId":
			add(Place{AggregateID: subject})
		case p.root == "metadata" && len(p.steps) == 1 && p.steps[0] == "userId":
			add(Place{UserID: subject})
		case p.root == "metadata":
			all = false
		}
	}
	return places, all
}

// holding returns a document that has a value at the path, and nothing else.
func (p path) holding(value []byte) []byte {
	for i := len(p.steps) - 1; i >= 0; i-- {
		if p.steps[i] == each {
			value = append(append([]byte{'['}, value...), ']')
			continue
		}
		value = append(append([]byte(`{"`+p.steps[i]+`":`), value...), '}') // steps are spelled as JSON has them
	}
	return value
}

// Unsealed returns how many values of an event are a subject's by the rules, and were stored open: before there was the
// rule. The event is in its stored form.
func (r *Rules) Unsealed(e *event.Event, subject string) (n int) {
	t := r.of(e.Type)
	if t == nil {
		return 0
	}
	b := newBatch(nil, &roots{}) // it compares subjects, and hashes for nobody else
	whose := b.numberOf(subject)
	b.find(0, e, t)
	for _, s := range b.sites {
		text := e.Payload
		if s.inMeta {
			text = e.Metadata
		}
		if s.subject == whose && !bytes.HasPrefix(text[s.from:], []byte(sealedBegin)) {
			n++
		}
	}
	return n
}
