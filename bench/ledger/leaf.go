package main

import (
	"context"
	"errors"
	"math"
	"time"

	"audittrail/modules/event"
	"audittrail/modules/ledger"
	"audittrail/modules/protect"
	"audittrail/modules/sample"
)

// measureLeaves is what computing one leaf takes by itself, in microseconds of one core: the least of
// some passes, since whatever else happens on the machine can only add to it.
func measureLeaves(records []sample.Record) (micros float64, err error) {
	const most, passes = 50_000, 10
	events, err := decoded(records[:min(len(records), most)])
	if err != nil {
		return 0, err
	}
	var s event.Stored
	least := time.Duration(math.MaxInt64)
	for range passes {
		began := time.Now()
		for i := range events {
			s.Event, s.Kafka, s.RecordedAt = *events[i].Event(), events[i].Raw().Coordinates, began
			s.Salt[0]++
			s.Salt[1] = ledger.EventLeaf(&s)[0]
		}
		least = min(least, time.Since(began))
	}
	return float64(least) / float64(time.Microsecond) / float64(len(events)), nil
}

func decoded(records []sample.Record) ([]protect.Sealed, error) {
	rules := event.Rules{MaxDepth: 64, MaxRecordBytes: 1 << 20, MaxFuture: 24 * time.Hour}
	events := make([]protect.Sealed, 0, len(records))
	for i, record := range records {
		raw := event.Raw{Value: record.Value, Key: record.Key, Coordinates: event.Coordinates{
			TopicID: event.TopicID{1}, Topic: topic, Offset: int64(i),
		}}
		found, rejected := event.Decode(raw)
		if rejected != nil {
			return nil, errors.New(rejected.Detail)
		}
		valid, rejected := found.Validate(rules, time.Now())
		if rejected != nil {
			return nil, errors.New(rejected.Detail)
		}
		sealed, err := protect.NewProtector().Seal(context.Background(), []event.Valid{valid})
		if err != nil {
			return nil, err
		}
		events = append(events, sealed...)
	}
	return events, nil
}
