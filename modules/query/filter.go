package query

import (
	"bytes"
	"slices"
	"strings"
	"time"

	"github.com/go-json-experiment/json/jsontext"

	"audittrail/modules/event"
	"audittrail/modules/httpapi"
	"audittrail/modules/store"
)

// unindexedSpan is how long the time may be in which a payload pattern is looked for that no index helps with.
const unindexedSpan = 31 * 24 * time.Hour

// search is the filters that a list, an export and the feed have in common; nil is one that was not given.
type search struct {
	eventTypes                 *httpapi.EventType
	aggregateType, aggregateID *httpapi.Name
	from, to                   *httpapi.Moment
	correlationID, causationID *httpapi.Name
	userID, source             *httpapi.Name
	payload                    *httpapi.Payload
}

// filter reads the parameters. now is where a search without an end ends.
func (s search) filter(now time.Time) (f store.Filter, err error) {
	if s.eventTypes != nil {
		f.EventTypes = *s.eventTypes
	}
	f.AggregateType, f.AggregateID = textOf(s.aggregateType), textOf(s.aggregateID)
	f.CorrelationID, f.CausationID = textOf(s.correlationID), textOf(s.causationID)
	f.UserID, f.Source = textOf(s.userID), textOf(s.source)
	if f.From, f.To, err = between(s.from, s.to); err != nil || s.payload == nil {
		return f, err
	}
	var indexed bool
	if f.Payload, indexed, err = patternOf(*s.payload); err != nil {
		return f, err
	}
	if !indexed && !spansAtMost(f, unindexedSpan, now) {
		return f, invalid("payload", "holds no text, number, true, false or null, which would be looked for in every event: "+
			"name one, or give from and to at most 31 days apart")
	}
	return f, nil
}

// between reads the bounds of a time: the first is part of it, the second is not.
func between(from, to *httpapi.Moment) (first, end time.Time, err error) {
	if first, err = timeOf("from", from); err != nil {
		return first, end, err
	}
	if end, err = timeOf("to", to); err != nil {
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
			return nil, false, invalid("payload", "holds a member named "+token.String()+", which is reserved to the store")
		case !isName:
			indexed = indexed || !strings.ContainsRune("{}[]", rune(token.Kind()))
		}
	}
}

// fieldsOf reads the members that are asked for; nil for all.
func fieldsOf(given *httpapi.Fields) ([]string, error) {
	if given == nil {
		return nil, nil
	}
	names := strings.Split(*given, ",")
	for _, name := range names {
		if !slices.Contains(event.StoredMembers(), name) {
			return nil, invalid("fields", "must be names with commas between them, of: "+strings.Join(event.StoredMembers(), ", "))
		}
	}
	return names, nil
}

// maxColumns is how many columns a CSV may have.
const maxColumns = 50

// columnsOf reads the columns that are asked for; nil for the usual ones.
func columnsOf(given *string) ([]string, error) {
	if given == nil {
		return nil, nil
	}
	columns := strings.Split(*given, ",")
	if len(columns) > maxColumns {
		return nil, invalid("columns", "must be 50 at most")
	}
	for _, column := range columns {
		names := strings.Split(column, ".")
		if !slices.Contains(event.StoredMembers(), names[0]) || slices.Contains(names, "") {
			return nil, invalid("columns", "must be members of an event, or paths into them as payload.total, with commas between them; members are: "+
				strings.Join(event.StoredMembers(), ", "))
		}
	}
	return columns, nil
}
