package sample

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math"
	"math/rand/v2"
	"time"

	"audittrail/modules/event"
)

// Story is everything that happens around one order, oldest first: who ordered what, whether it was
// in stock, how it was paid, shipped, cancelled or returned. Its events share a correlation id and
// each names the event that caused it. number tells the orders of one seed apart; live is
// Options.Live.
func Story(seed, number uint64, start time.Time, live bool) []Record {
	s := &story{rng: newRand(seed, number), at: start, live: live, versions: map[aggregate]int{}}
	s.correlation = s.newID().String()
	s.order = s.newOrder(number)
	s.place()
	return s.records
}

// story builds the records of one order while its clock moves on.
type story struct {
	rng         *rand.Rand
	at          time.Time
	live        bool
	correlation string
	order       order
	versions    map[aggregate]int
	records     []Record
}

// aggregate is what an event is about.
type aggregate struct{ kind, id string }

// service publishes events; it is their metadata.source.
type service struct{ name, topic string }

// document is an event as a service writes it.
type document struct {
	EventID       string   `json:"eventId"`
	EventType     string   `json:"eventType"`
	AggregateID   string   `json:"aggregateId"`
	AggregateType string   `json:"aggregateType"`
	Timestamp     string   `json:"timestamp"`
	Version       int      `json:"version"`
	Payload       any      `json:"payload"`
	Metadata      metadata `json:"metadata"`
}

type metadata struct {
	CorrelationID string `json:"correlationId"`
	CausationID   string `json:"causationId,omitempty"`
	UserID        string `json:"userId,omitempty"`
	Source        string `json:"source"`
}

// emit publishes one event at the story's present time and gives its id, for what it causes.
func (s *story) emit(from service, kind string, about aggregate, cause, user string, payload any) string {
	s.versions[about]++
	id := s.newID().String()
	doc := document{
		EventID: id, EventType: kind, AggregateID: about.id, AggregateType: about.kind,
		Timestamp: s.at.Format("2006-01-02T15:04:05.000000Z"), Version: s.versions[about], Payload: payload,
		Metadata: metadata{CorrelationID: s.correlation, CausationID: cause, UserID: user, Source: from.name},
	}
	s.records = append(s.records, Record{Topic: from.topic, Key: []byte(about.id), Value: encode(doc), At: s.at})
	return id
}

// encode writes a document as JSON. It can't fail: documents hold strings, integers and amounts.
func encode(doc document) []byte {
	var buf bytes.Buffer
	enc := json.NewEncoder(&buf)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(doc); err != nil {
		panic(fmt.Sprintf("sample: encode %s: %v", doc.EventType, err))
	}
	return bytes.TrimSuffix(buf.Bytes(), []byte("\n"))
}

// wait moves the story's clock on by a time between the two.
func (s *story) wait(least, most time.Duration) {
	d := least + time.Duration(s.rng.Int64N(int64(most-least)+1))
	if s.live {
		// 0.2 s stay 0.2 s, 10 s become 1, an hour 2.4, three days 3.5.
		d = time.Duration(float64(160*time.Millisecond) * math.Log2(1+d.Seconds()*10))
	}
	s.at = s.at.Add(max(d, time.Microsecond)).Truncate(time.Microsecond)
}

// chance is true in percent of 100 cases.
func (s *story) chance(percent int) bool { return s.rng.IntN(100) < percent }

// newID makes a UUID of version 7 (RFC 9562 section 5.7) for the story's present time.
func (s *story) newID() event.ID { return newID(s.rng, s.at) }

func newID(rng *rand.Rand, at time.Time) event.ID {
	var id event.ID
	ms := uint64(at.UnixMilli())
	for i := range 6 {
		id[i] = byte(ms >> (8 * (5 - i)))
	}
	hi, lo := rng.Uint64(), rng.Uint64()
	id[6], id[7] = 0x70|byte(hi>>8)&0x0f, byte(hi)
	for i := range 8 {
		id[8+i] = byte(lo >> (8 * i))
	}
	id[8] = 0x80 | id[8]&0x3f
	return id
}

// pick takes one of a list.
func pick[T any](rng *rand.Rand, list []T) T { return list[rng.IntN(len(list))] }
