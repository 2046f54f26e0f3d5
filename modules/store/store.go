// Package store is the event store in PostgreSQL: the append transaction, the accounting of Kafka's
// offsets, the dead letters, the ledger's rows, and the readers. It is the only place with SQL over the
// event tables; migrations/ has the tables.
//
// It does not decode or check events (package event does), and it talks to no Kafka: coordinates come
// in as numbers. The file append.go is the door through which all history is written.
package store

// Advisory lock keys, one number space for the whole database. The high half spells "audt".
const (
	lockLedgerEvents int64 = 0x61756474_00000001 // held from numbering a batch to its COMMIT
	lockOutbox       int64 = 0x61756474_00000002 // held by the one publisher of dead letters
	lockUpkeep       int64 = 0x61756474_00000003 // held by the one process that looks after partitions and indexes
	// 4 is number_pending's, in migrations/0002: the positions of the access log.
	lockNotary int64 = 0x61756474_00000005 // held by the one process that signs checkpoints
)

// IngestApplication is the application_name of ingest's connections. A stalled transaction is ended by
// others only where it carries this name.
const IngestApplication = "audittrail-ingest"
