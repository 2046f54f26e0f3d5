// Package store is the event store in PostgreSQL: the append transaction, the accounting of Kafka's offsets, the
// dead letters, the ledger's rows, and the readers. All SQL over the event tables is here and in package
// store/audit; the tables are in migrations/.
//
// It does not decode or validate events (package event does). It does not talk to Kafka: coordinates are given
// as numbers. All history is written through Append (append.go).
package store

// Advisory lock keys, one number space for the whole database. The high half spells "audt".
const (
	lockLedgerEvents int64 = 0x61756474_00000001 // held from numbering a batch to its COMMIT
	lockOutbox       int64 = 0x61756474_00000002 // held by the process that publishes dead letters
	lockUpkeep       int64 = 0x61756474_00000003 // held by the process that maintains partitions and indexes
	// 4 is used by number_pending in migrations/0002, which numbers the access log.
	lockNotary    int64 = 0x61756474_00000005 // held by the process that signs checkpoints
	lockAnalytics int64 = 0x61756474_00000006 // held by the process that keeps the rollups
	// 16 is used by count_dead_letters in migrations/0009.
	lockErasure   int64 = 0x61756474_00000007 // held by the process that erases subjects
	lockRedrive   int64 = 0x61756474_00000011 // held by the process that redrives dead letters
	lockReconcile int64 = 0x61756474_00000012 // held by the process that checks the accounting now and then
)

// IngestApplication is the application_name of ingest's connections. Other processes end a stalled transaction only
// if it has this name or the next one.
const IngestApplication = "audittrail-ingest"

// RedriveApplication is that of the connections which redrive dead letters: they hold the same locks.
const RedriveApplication = "audittrail-redrive"
