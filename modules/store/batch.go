package store

import (
	"audittrail/modules/event"
	"audittrail/modules/protect"
)

// Partition names one Kafka partition. Its identity is (TopicID, Number); Topic is an attribute.
type Partition struct {
	TopicID event.TopicID
	Topic   string
	Number  int32
}

// Range is the offsets [From, To) of one partition that a batch accounts for.
type Range struct {
	Partition
	From        int64 // the previous Range's To, not the first record's offset
	To          int64 // exclusive
	Absent      int64 // offsets in the range without a record: compacted, transaction markers, aborted
	LeaderEpoch int32 // of the last record read; -1 if unknown
}

// Batch is what one append stores, all or nothing.
//
// For each Range, To-From equals Absent plus the number of its Events and Rejected.
type Batch struct {
	Ranges   []Range          // one per partition
	Events   []protect.Sealed // in order of partition and offset; at most MaxBatchEvents
	Rejected []event.Rejected // what could not become an event, with its bytes
}

// MaxBatchEvents is how many events a batch can hold: an event's row id is batch<<14 | index.
const MaxBatchEvents = 1 << 14

// Receipt says what an Append did.
type Receipt struct {
	First        int64 // position of the first stored event; -1 if none was stored
	Stored       int
	Duplicates   int
	DeadLettered int // records rejected before, conflicts, and rows that PostgreSQL refused
	Conflicts    int // of DeadLettered: the id is taken by other content

	// Outcomes are the counts of each range that is stored now, whether by this call or by an earlier try of the
	// same batch.
	Outcomes []Outcome

	// Lost are the partitions that were fenced off: another consumer owns them now, or the database was rolled
	// back. This call stored nothing of them. The caller MUST drop what it has buffered of them, and go on at
	// NextOffset.
	Lost []Lost

	// Already are the partitions whose range an earlier try of the same batch has stored.
	Already []Partition
}

// Outcome counts what became of the offsets of one range.
type Outcome struct {
	Partition
	Stored       int
	Duplicates   int
	DeadLettered int
	Absent       int64
}

// Lost is a partition that this process may no longer write, and why.
type Lost struct {
	Partition
	NextOffset int64         // in the database; -1 if it has no row with this topic id
	Recreated  event.TopicID // if not zero, the topic was made again and has this id in the database
}
