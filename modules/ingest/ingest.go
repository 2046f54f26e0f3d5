// Package ingest is the role that brings Kafka's records into the event store: it reads the topics as a
// consumer group, decodes and checks records in parallel, and appends them in batches.
//
//	poller --chunk--> decoders --chunk--> worker 0..n --batch--> store.Append
//
// A chunk is a run of records of one partition. Decoders work on chunks in any order; a worker takes
// its chunks in the order in which they were read, and a partition's chunks all go to one worker, so
// that ranges of offsets follow each other without gaps. Where to begin is PostgreSQL's to say, never
// Kafka's: offsets committed to the group are for lag tools.
//
// Who may append what is decided in one place (lease.go): a partition is held by a lease from its
// assignment until it is revoked, lost or repositioned, and what was read under a lease that has ended
// is dropped. That is courtesy; the fence in the append transaction is what makes it safe.
//
// The package holds no SQL and no rule of what an event is: those are store's and event's.
package ingest

import (
	"context"
	"time"

	"audittrail/modules/store"
)

// Store is what ingest needs of the event store.
type Store interface {
	// Append stores the batch or nothing of it; see store.Appender.
	Append(ctx context.Context, b store.Batch) (store.Receipt, error)

	// EnsureOffsets answers where to go on in each of the partitions; one that is seen for the first
	// time begins at its Start. See store.Appender.
	EnsureOffsets(ctx context.Context, starts []store.PartitionStart) (map[store.Partition]store.Offset, error)

	// Positions reads where all partitions stand, also those of other processes.
	Positions(ctx context.Context) (store.Positions, error)

	// RememberCut notes that Kafka's log ended before what is stored, until an operator admits it.
	RememberCut(ctx context.Context, p store.Partition, end int64) error

	// Installation returns the id of the database. Processes with different ids must not share a consumer group.
	Installation(ctx context.Context) ([16]byte, error)
}

// Bounds of the pipeline that are nobody's business to configure.
const (
	// chunkRecords and chunkBytes bound the work that is handed around in one piece: large enough
	// that a channel operation costs nothing per record, small enough to spread over decoders.
	chunkRecords = 500
	chunkBytes   = int64(1 << 20)

	// gather is how long a worker that has been idle waits for more before it appends: long enough
	// for the rest of what one fetch brought.
	gather = 5 * time.Millisecond

	// queueChunks is how many chunks may wait for one worker. What bounds memory is the budget.
	queueChunks = 256
)
