package store

import (
	"slices"
	"strconv"
	"strings"
	"time"
)

// Filter selects events. Zero fields do not filter; events must match all others.
type Filter struct {
	EventTypes    []string // any of them
	AggregateType string
	AggregateID   string
	From          time.Time // inclusive
	To            time.Time // exclusive
	CorrelationID string
	CausationID   string
	UserID        string
	Source        string
	Payload       []byte // JSON that the payload contains, in canonical form

	// aggregateTypes are all types that there are, where AggregateID is given without one: the index on
	// aggregates begins with the type.
	aggregateTypes []string

	sought *sought // nil where no sealed value is looked for
}

// isEmpty reports whether every event matches.
func (f Filter) isEmpty() bool { return f.sought == nil && len(f.where().terms) == 0 }

// fingerprint returns the filter as bytes, for cursors. It is equal for filters that mean the same.
func (f Filter) fingerprint() []byte {
	types := slices.Clone(f.EventTypes)
	slices.Sort(types)
	types = slices.Compact(types)
	b := []byte("events")
	b = appendField(b, strconv.Itoa(len(types)))
	for _, t := range types {
		b = appendField(b, t)
	}
	b = appendField(b, f.AggregateType)
	b = appendField(b, f.AggregateID)
	b = appendField(b, moment(f.From))
	b = appendField(b, moment(f.To))
	b = appendField(b, f.CorrelationID)
	b = appendField(b, f.CausationID)
	b = appendField(b, f.UserID)
	b = appendField(b, f.Source)
	return appendField(b, string(f.Payload))
}

func moment(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return strconv.FormatInt(t.UnixMicro(), 10)
}

// appendField appends a text so that no two lists of texts give the same bytes.
func appendField(b []byte, text string) []byte {
	b = append(b, 0)
	b = strconv.AppendInt(b, int64(len(text)), 10)
	b = append(b, ':')
	return append(b, text...)
}

// conditions builds a WHERE clause. Values get into a statement only through it, and it binds each of them.
type conditions struct {
	terms  []string
	args   []any
	bitmap bool  // a BRIN index finds the rows, and the planner must not pass it by
	ways   []way // beside all terms one of these must fit, if there are any; no row fits two of them
}

// bind returns the placeholder for a value.
func (c *conditions) bind(value any) string {
	c.args = append(c.args, value)
	return "$" + strconv.Itoa(len(c.args))
}

// add appends a term; %s in it stands for the value.
func (c *conditions) add(term string, value any) {
	c.terms = append(c.terms, strings.ReplaceAll(term, "%s", c.bind(value)))
}

// addText appends a term whose value was given.
func (c *conditions) addText(term, value string) {
	if value != "" {
		c.add(term, value)
	}
}

// sql is all terms, to be put behind WHERE.
func (c *conditions) sql() string {
	if len(c.terms) == 0 {
		return "true"
	}
	return strings.Join(c.terms, " AND ")
}

// The members of metadata that can be asked for, as the indexes on them have it.
const (
	flowOf        = `(metadata ->> 'correlationId') COLLATE "C"`
	correlationIs = flowOf + ` = %s`
	causationIs   = `(metadata ->> 'causationId') COLLATE "C" = %s`
	userIs        = `(metadata ->> 'userId') COLLATE "C" = %s`
	sourceIs      = `(metadata ->> 'source') COLLATE "C" = %s`
)

// where builds the filter's conditions. Served by events_type, events_aggregate, events_correlation,
// events_causation, events_user, events_payload and the primary key. A source has no index.
func (f Filter) where() *conditions {
	c := &conditions{bitmap: f.CausationID != ""}
	switch len(f.EventTypes) {
	case 0:
	case 1: // equality keeps the index's order by time, which = ANY does not
		c.add("event_type = %s", f.EventTypes[0])
	default:
		c.add("event_type = ANY (%s::text[])", f.EventTypes)
	}
	c.addText("aggregate_type = %s", f.AggregateType)
	if f.aggregateTypes != nil {
		c.add("aggregate_type = ANY (%s::text[])", f.aggregateTypes)
	}
	c.addText("aggregate_id = %s", f.AggregateID)
	c.addText(correlationIs, f.CorrelationID)
	c.addText(causationIs, f.CausationID)
	if !f.sought.has(columnMetadata) {
		c.addText(userIs, f.UserID)
	}
	c.addText(sourceIs, f.Source)
	if f.Payload != nil && !f.sought.has(columnPayload) {
		c.add("payload @> %s::jsonb", string(f.Payload))
	}
	c.between("timestamp", f.From, f.To)
	if f.sought != nil {
		c.ways = f.sought.ways(c, f)
	}
	return c
}

// between adds that a column's time lies in [from, to); zero is open.
func (c *conditions) between(column string, from, to time.Time) {
	if !from.IsZero() {
		c.add(column+" >= %s::timestamptz", from)
	}
	if !to.IsZero() {
		c.add(column+" < %s::timestamptz", to)
	}
}

// beyond adds the keyset condition of a cursor over a column of times and id. The plain comparison is there for the planner: a row
// comparison alone does not prune partitions.
func (c *conditions) beyond(column string, k key, order Order) {
	at, id, beyond := c.bind(k.timestamp), c.bind(k.id), ">"
	if order == Descending {
		beyond = "<"
	}
	c.terms = append(c.terms,
		column+" "+beyond+"= "+at+"::timestamptz",
		"("+column+", id) "+beyond+" ("+at+"::timestamptz, "+id+"::bigint)")
}
