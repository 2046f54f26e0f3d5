// Package sample makes believable order traffic: what a shop's order, inventory, payment and shipping
// services would publish. `audittrail dev` shows it, tests check against it and bench measures with it.
//
// A Generator is pure: the same Options give the same records, it reads no clock and does no I/O.
// Traffic is the only part that does: it publishes a Generator's records at their time.
//
// What does not belong here: anything that a production role needs. Names and addresses are invented,
// mail addresses end in example.com.
package sample

import (
	"time"

	"audittrail/modules/event"
)

// The topics that the services publish to, one a service.
const (
	TopicOrders    = "orders"
	TopicInventory = "inventory"
	TopicPayments  = "payments"
	TopicShipments = "shipments"
)

// Topics are all topics of the sample traffic.
func Topics() []string {
	return []string{TopicOrders, TopicInventory, TopicPayments, TopicShipments}
}

// Record is one Kafka record of the sample traffic.
type Record struct {
	Topic string
	Key   []byte    // the aggregate id, so that an aggregate's events stay in order
	Value []byte    // the event as JSON; nil for a tombstone
	At    time.Time // when it is published; a good event's timestamp is the same

	// Reason is why ingest will refuse the record; empty for a good event.
	Reason event.Reason
	// Repeat says that the record was published before with the same content, as producers do that
	// deliver at least once. It is stored once.
	Repeat bool
}

// Options say what a Generator makes. The zero value of a field means its default.
type Options struct {
	// Seed decides everything that is random.
	Seed uint64
	// Start is when the first order is placed; the zero time means 2026-01-05T08:00:00Z.
	Start time.Time
	// Interval is the mean time between two orders; one minute by default. An order's events, ten or
	// so, spread over up to three weeks, and a Generator holds the records of all open orders: about
	// 14,000 at the default, some 15 MB.
	Interval time.Duration
	// Live shortens every wait within an order, the long ones most, so that hours and days of a
	// warehouse pass in seconds: an order takes about 15 seconds.
	Live bool
	// BadShare is the share of records that ingest must refuse, from 0 (default) to 1.
	BadShare float64
	// RepeatShare is the share of records that are published a second time, from 0 (default) to 1.
	RepeatShare float64
}

func (o Options) withDefaults() Options {
	if o.Start.IsZero() {
		o.Start = time.Date(2026, 1, 5, 8, 0, 0, 0, time.UTC)
	}
	if o.Interval <= 0 {
		o.Interval = time.Minute
	}
	o.Start = o.Start.UTC().Truncate(time.Microsecond)
	return o
}
