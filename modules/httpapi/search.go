package httpapi

import (
	"bytes"
	"strings"
	"time"

	"github.com/go-json-experiment/json/jsontext"

	"audittrail/modules/event"
	"audittrail/modules/store"
)

// unindexedSpan is how long the time may be in which a payload pattern is looked for that no index helps with.
const unindexedSpan = 31 * 24 * time.Hour

// Search is the filters that all that selects events has in common; nil is one that was not given.
type Search struct {
	EventTypes                 *EventType
	AggregateType, AggregateID *Name
	From, To                   *Moment
	CorrelationID, CausationID *Name
	UserID, Source             *Name
	Payload                    *Payload
}

// Filter reads the parameters. now is where a search without an end ends. An error names the parameter.
func (s Search) Filter(now time.Time) (f store.Filter, err error) {
	if s.EventTypes != nil {
		f.EventTypes = *s.EventTypes
	}
	f.AggregateType, f.AggregateID = textOf(s.AggregateType), textOf(s.AggregateID)
	f.CorrelationID, f.CausationID = textOf(s.CorrelationID), textOf(s.CausationID)
	f.UserID, f.Source = textOf(s.UserID), textOf(s.Source)
	if f.From, f.To, err = Between(s.From, s.To); err != nil || s.Payload == nil {
		return f, err
	}
	var indexed bool
	if f.Payload, indexed, err = patternOf(*s.Payload); err != nil {
		return f, err
	}
	if !indexed && !spansAtMost(f, unindexedSpan, now) {
		return f, invalid("payload", "holds no text, number, true, false or null, which would be looked for in every event: "+
			"name one, or give from and to at most 31 days apart")
	}
	return f, nil
}

// Between reads the bounds of a time: the first is part of it, the second is not.
func Between(from, to *Moment) (first, end time.Time, err error) {
	if first, err = TimeOf("from", from); err != nil {
		return first, end, err
	}
	if end, err = TimeOf("to", to); err != nil {
		return first, end, err
	}
	if from != nil && to != nil && !first.Before(end) {
		return first, end, invalid("to", "must be after from: to itself is not part of the search")
	}
	return first, end, nil
}

// spansAtMost says whether the filter's time is bounded so.
func spansAtMost(f store.Filter, most time.Duration, now time.Time) bool {
	if f.To.IsZero() {
		f.To = now
	}
	return !f.From.IsZero() && f.To.Sub(f.From) <= most
}

// patternOf is a payload pattern in canonical form, and whether an index can help to find it: one knows payloads
// by their scalars (texts, numbers, true, false, null) and the names that lead to these.
func patternOf(text string) (pattern []byte, indexed bool, err error) {
	if pattern, err = event.Canonicalize(nil, []byte(text)); err != nil {
		return nil, false, invalid("payload", "must be JSON that a payload could contain").Because(err)
	}
	tokens := jsontext.NewDecoder(bytes.NewReader(pattern))
	for {
		token, err := tokens.ReadToken()
		if err != nil {
			return pattern, indexed, nil //nolint:nilerr // the pattern's end: it is JSON
		}
		kind, nth := tokens.StackIndex(tokens.StackDepth())
		switch isName := kind == '{' && nth%2 == 1 && token.Kind() == '"'; {
		case isName && event.IsReserved([]byte(token.String())):
			return nil, false, invalid("payload", "holds a member named %s, which is reserved to the store", token.String())
		case !isName:
			indexed = indexed || !strings.ContainsRune("{}[]", rune(token.Kind()))
		}
	}
}

// TimeOf reads an optional moment; the zero time where it was not given.
func TimeOf(field string, given *Moment) (time.Time, error) {
	if given == nil {
		return time.Time{}, nil
	}
	t, err := event.ParseTime(*given)
	if err != nil {
		return time.Time{}, invalid(field, "must be an RFC 3339 time").Because(err)
	}
	// No event is that old, and the zero time would pass for no bound at all.
	if oldest := time.Date(1, 1, 2, 0, 0, 0, 0, time.UTC); t.Before(oldest) {
		return oldest, nil
	}
	return t, nil
}

// textOf is an optional parameter's value; "" where it was not given.
func textOf(given *string) string {
	if given == nil {
		return ""
	}
	return *given
}
