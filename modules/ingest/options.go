package ingest

import (
	"errors"
	"strings"
	"time"

	"audittrail/modules/event"
	"audittrail/modules/store"
	"audittrail/platform/config"
	"audittrail/platform/kafka"
)

// Options is the configuration section `ingest`.
type Options struct {
	Start            string        `key:"start" default:"earliest" help:"where a partition that was never seen before begins: earliest"`
	DLQSuffix        string        `key:"dlq_suffix" default:".dlq" help:"a topic's dead letters are published to its name with this appended"`
	DLQCreate        bool          `key:"dlq_create" default:"true" help:"create dead-letter topics that are missing"`
	MaxBatchEvents   int           `key:"max_batch_events" default:"4000" help:"most events of one append"`
	MaxBatchBytes    int64         `key:"max_batch_bytes" default:"4194304" help:"bytes of records at which a batch is appended"`
	MaxRecordBytes   int           `key:"max_record_bytes" default:"1048576" help:"longest value of a record that can become an event; longer ones are dead letters. Ingest takes about 150 MiB of memory, and five times what this is set to beyond 1 MiB"`
	MaxDepth         int           `key:"max_depth" default:"64" help:"deepest nesting of a record; the event itself is 1"`
	MaxFuture        time.Duration `key:"max_future" default:"24h" help:"how far an event's timestamp may lie in the future"`
	MaxFetchBytes    int           `key:"max_fetch_bytes" default:"4194304" help:"bytes asked of a broker in one fetch, as they are stored there (compressed)"`
	MaxInFlightBytes int64         `key:"max_in_flight_bytes" default:"33554432" help:"estimated memory of records between fetch and commit"`
	Linger           time.Duration `key:"linger" default:"250ms" help:"least time between two appends that are not full"`
	Workers          int           `key:"workers" default:"2" help:"appends at a time; a Kafka partition is always with one of them"`
	ReconcileEvery   time.Duration `key:"reconcile_every" default:"1h" help:"how often one of all processes checks that every offset is accounted for and all tables agree. That reads all events once, about 2 s a million; the pause is nine times as long at least. It compares with Kafka every minute. 0: it does neither"`
	DrainTimeout     time.Duration `key:"drain_timeout" default:"5s" help:"how long appends in flight may take when partitions are given up or the process stops"`
}

// Bounds of the options.
const (
	maxLinger   = 250 * time.Millisecond
	maxWorkers  = 64
	minInFlight = 4 << 20

	minReconcile = time.Minute
	maxReconcile = 7 * 24 * time.Hour
)

// Validate reports every value that breaks a rule, by its key in the section.
func (o Options) Validate() error {
	var errs []error
	must := func(holds bool, key, format string, args ...any) {
		if !holds {
			errs = append(errs, config.Invalid(key, format, args...))
		}
	}
	must(o.Start == "earliest", "start", "must be earliest: a partition is stored from the beginning of its log")
	must(validSuffix(o.DLQSuffix), "dlq_suffix", "must be 1 to 100 of A-Z, a-z, 0-9, '.', '_', '-'")
	must(o.MaxBatchEvents >= 1 && o.MaxBatchEvents <= store.MaxBatchEvents, "max_batch_events", "must be from 1 to %d", store.MaxBatchEvents)
	must(o.MaxBatchBytes >= 1<<10 && o.MaxBatchBytes <= 256<<20, "max_batch_bytes", "must be from %d to %d", 1<<10, 256<<20)
	must(o.MaxRecordBytes >= 1<<10 && o.MaxRecordBytes <= event.RecordBytesLimit, "max_record_bytes", "must be from %d to %d", 1<<10, event.RecordBytesLimit)
	must(o.MaxDepth >= 1 && o.MaxDepth <= event.DepthLimit, "max_depth", "must be from 1 to %d", event.DepthLimit)
	must(o.MaxFuture >= 0, "max_future", "must not be negative")
	must(o.MaxFetchBytes >= 64<<10 && o.MaxFetchBytes <= 64<<20, "max_fetch_bytes", "must be from %d to %d", 64<<10, 64<<20)
	must(o.MaxInFlightBytes >= minInFlight, "max_in_flight_bytes", "must be at least %d", minInFlight)
	must(o.Linger >= 0 && o.Linger <= maxLinger, "linger", "must be from 0 to %v", maxLinger)
	must(o.Workers >= 1 && o.Workers <= maxWorkers, "workers", "must be from 1 to %d", maxWorkers)
	must(o.ReconcileEvery == 0 || o.ReconcileEvery >= minReconcile && o.ReconcileEvery <= maxReconcile, "reconcile_every", "must be 0, or from %v to %v", minReconcile, maxReconcile)
	must(o.DrainTimeout > 0 && o.DrainTimeout <= time.Minute, "drain_timeout", "must be more than 0 and at most %v", time.Minute)
	return errors.Join(errs...)
}

func validSuffix(s string) bool {
	const legal = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-"
	return len(s) >= 1 && len(s) <= 100 && strings.Trim(s, legal) == ""
}

// Rules are the limits of an event.
func (o Options) Rules() event.Rules {
	return event.Rules{MaxDepth: o.MaxDepth, MaxRecordBytes: o.MaxRecordBytes, MaxFuture: o.MaxFuture}
}

// recordLimits bound a record before it is decoded.
func (o Options) recordLimits() kafka.RecordLimits {
	return kafka.RecordLimits{Part: o.MaxRecordBytes, Kept: event.OversizeKept}
}
