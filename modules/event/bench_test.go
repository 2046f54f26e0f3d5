package event_test

import (
	"bytes"
	"errors"
	"io"
	"strconv"
	"strings"
	"testing"

	"github.com/go-json-experiment/json/jsontext"

	"audittrail/modules/event"
	"audittrail/modules/event/eventtest"
)

// orderEvent is an event of about 520 bytes, the size that the budget of 15 µs of CPU an event is for.
var orderEvent = []byte(`{"eventId":"018f4e2a-7c31-7b5a-9d7e-1f2a3b4c5d6e","eventType":"OrderPlaced",` +
	`"aggregateId":"order-1001","aggregateType":"Order","timestamp":"2024-05-01T09:30:00.123456Z","version":1,` +
	`"payload":{"orderId":"order-1001","customer":{"id":"c-20417","name":"Ada Byron","country":"CH"},` +
	`"lines":[{"sku":"A-1001","qty":2,"price":12.50},{"sku":"B-77","qty":1,"price":3.99}],` +
	`"total":28.99,"currency":"CHF","channel":"web","gift":false},` +
	`"metadata":{"correlationId":"8c0e6f0a-95f4-4f3e-9d0a-2f5b7f7b1c11","causationId":"f3516ff1-97e1-5e9e-a2ac-4f80b1b592c5","userId":"u-7","source":"shop"}}`)

func BenchmarkDecodeAndValidate(b *testing.B) {
	traced := []event.Header{{Key: "traceparent", Value: []byte("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01")}}
	for _, c := range []struct {
		name    string
		value   []byte
		headers []event.Header
	}{
		{"order", orderEvent, nil},
		{"canonical", canonicalOf(b, orderEvent), nil},
		{"traced", orderEvent, traced},
		{"other members", bytes.Replace(orderEvent, []byte(`"version"`), []byte(`"tenant":"t-1","version"`), 1), nil},
	} {
		b.Run(c.name, func(b *testing.B) {
			now, rules := eventtest.Now(), event.DefaultRules()
			b.SetBytes(int64(len(c.value)))
			b.ReportAllocs()
			for b.Loop() {
				d, rejected := event.Decode(event.Raw{Value: c.value, Headers: c.headers})
				if rejected != nil {
					b.Fatal(rejected.Detail)
				}
				if _, rejected = d.Validate(rules, now); rejected != nil {
					b.Fatal(rejected.Detail)
				}
			}
		})
	}
}

func BenchmarkDecode(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		if _, rejected := event.Decode(event.Raw{Value: orderEvent}); rejected != nil {
			b.Fatal(rejected.Detail)
		}
	}
}

func BenchmarkDigest(b *testing.B) {
	e := accept(b, orderEvent).Event()
	b.ReportAllocs()
	for b.Loop() {
		e.Digest()
	}
}

func BenchmarkCanonicalize(b *testing.B) {
	dst := make([]byte, 0, 4096)
	b.SetBytes(int64(len(orderEvent)))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := event.Canonicalize(dst, orderEvent); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkStored(b *testing.B) {
	s := event.Stored{Event: *accept(b, orderEvent).Event(), RecordedAt: eventtest.Now()}
	b.Run("Canonical", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			s.Canonical()
		}
	})
	b.Run("AppendJSON", func(b *testing.B) {
		dst := make([]byte, 0, 4096)
		b.ReportAllocs()
		for b.Loop() {
			s.AppendJSON(dst)
		}
	})
}

// Records made to be slow: sorting and moving members must stay near the speed of reading.
func BenchmarkHostile(b *testing.B) {
	many := []byte{'{'}
	for i := range 60_000 {
		many = append(many, `"member`...)
		many = strconv.AppendInt(many, int64(i*7919%60_000), 10)
		many = append(many, `":0,`...)
	}
	many[len(many)-1] = '}'
	inner := `"` + strings.Repeat("x", 1<<20) + `"`
	for name, value := range map[string]string{
		"many members unsorted":             string(many),
		"1 MiB moved at each of 250 levels": strings.Repeat(`{"b":`, 250) + inner + strings.Repeat(`,"a":0}`, 250),
		"long names alike":                  `{"` + strings.Repeat("é", 4096) + `b":0,"` + strings.Repeat("é", 4096) + `a":0}`,
		"escapes":                           `"` + strings.Repeat(`\u0001`, 1<<17) + `"`,
		"arrays":                            "[" + strings.Repeat("[],", 300_000) + "0]",
	} {
		b.Run(name, func(b *testing.B) {
			b.SetBytes(int64(len(value)))
			b.ReportAllocs()
			dst := make([]byte, 0, 2*len(value))
			for b.Loop() {
				if _, err := event.Canonicalize(dst, []byte(value)); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// What the library that the scanner stands in for needs for the same text: to read its tokens only, and
// to canonicalise it (which also rounds numbers).
func BenchmarkJSONText(b *testing.B) {
	b.Run("tokens", func(b *testing.B) {
		b.ReportAllocs()
		r := bytes.NewReader(orderEvent)
		d := jsontext.NewDecoder(r)
		for b.Loop() {
			r.Reset(orderEvent)
			d.Reset(r)
			for {
				if _, err := d.ReadToken(); errors.Is(err, io.EOF) {
					break
				} else if err != nil {
					b.Fatal(err)
				}
			}
		}
	})
	b.Run("canonicalize", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			v := jsontext.Value(bytes.Clone(orderEvent))
			if err := v.Canonicalize(); err != nil {
				b.Fatal(err)
			}
		}
	})
}

// canonicalOf is value in canonical form.
func canonicalOf(t testing.TB, value []byte) []byte {
	t.Helper()
	out, err := event.Canonicalize(nil, value)
	if err != nil {
		t.Fatal(err)
	}
	return out
}
