package ingest

import (
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"audittrail/platform/kafka"
)

// The delay is that of the oldest record that waits, by when the end of the log was seen there.
func TestDelayIsThatOfTheOldestRecordThatWaits(t *testing.T) {
	now := time.Now()
	d := newDelays(func() time.Time { return now }, []string{"orders"})
	reg := prometheus.NewRegistry()
	reg.MustRegister(d)
	at, other := kafka.TopicPartition{Topic: "orders"}, kafka.TopicPartition{Topic: "orders", Partition: 1}
	shows := func(when string, want float64) {
		t.Helper()
		if got := value(t, reg, "audittrail_ingest_delay_seconds", "orders"); got != want {
			t.Errorf("%s: %v s, want %v", when, got, want)
		}
	}
	shows("from the start", 0)
	d.see(at, 10, 10)
	shows("all stored", 0)
	d.see(at, 20, 10)
	now = now.Add(5 * time.Second)
	d.see(at, 30, 12)
	d.see(other, 3, 0)
	now = now.Add(5 * time.Second)
	shows("nobody looks", 10)
	d.see(at, 30, 20)
	shows("what was seen first is stored", 5)
	d.see(at, 30, 30)
	shows("the other partition", 5)
	d.forget(other)
	shows("all stored again", 0)
	d.see(at, 40, 30)
	now = now.Add(time.Second)
	d.see(at, 25, 30)
	shows("a log that was cut", 0)
}

// A long outage takes no more memory than an hour of sightings.
func TestDelayOfALongOutageIsBounded(t *testing.T) {
	now := time.Now()
	d := newDelays(func() time.Time { return now }, nil)
	at := kafka.TopicPartition{Topic: "orders"}
	for end := range int64(3 * maxSightings) {
		d.see(at, end+1, 0)
		now = now.Add(watchEvery)
	}
	list := d.waiting[at]
	if len(list) != maxSightings || list[len(list)-1].end != 3*maxSightings {
		t.Errorf("%d sightings, the last one of offset %d", len(list), list[len(list)-1].end)
	}
}
