// Package eventtest is the records that tests of several modules send through the pipeline: ones that
// break each rule of an event, odd ones that break none, and a few real ones.
//
// It belongs to tests: nothing of the program imports it.
package eventtest

import (
	"strings"
	"time"

	"audittrail/modules/event"
)

// Now is a time of reading for tests that want always the same. Bad and Good are what they say at any
// time from 2025 to 2998.
func Now() time.Time { return time.Date(2026, 6, 1, 12, 0, 0, 0, time.UTC) }

// Case is a record's value and what becomes of it under event.DefaultRules.
type Case struct {
	Name   string
	Value  []byte
	Reason event.Reason // "" where it is stored
	Field  string       // of the rejection
}

// template is an event without anything special. Cases replace parts of it.
const template = `{"eventId":"018f4e2a-7c31-7b5a-9d7e-1f2a3b4c5d6e","eventType":"OrderPlaced",` +
	`"aggregateId":"order-1001","aggregateType":"Order","timestamp":"2024-05-01T09:30:00.123456Z","version":1,` +
	`"payload":{"total":"12.50","lines":[{"sku":"A-1","qty":2}]},` +
	`"metadata":{"correlationId":"c-1","causationId":"c-0","userId":"u-7","source":"shop"}}`

// Value is a plain good event.
func Value() []byte { return []byte(template) }

// With is the plain event with one part of its text replaced, which MUST occur in it once.
func With(old, new string) []byte {
	if strings.Count(template, old) != 1 {
		panic("eventtest: the template does not have exactly one " + old)
	}
	return []byte(strings.Replace(template, old, new, 1))
}

// payload is the plain event with another payload.
func payload(json string) []byte {
	return With(`{"total":"12.50","lines":[{"sku":"A-1","qty":2}]}`, json)
}

// nested is n arrays within each other.
func nested(n int) string { return strings.Repeat("[", n) + strings.Repeat("]", n) }
