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

// Range is what a batch has read of one partition: every offset of [From, To).
type Range struct {
	Partition
	From        int64 // the previous Range's To, not the first record's offset
	To          int64 // exclusive
	Absent      int64 // offsets in between that hold no record: compacted away, markers, aborted
	LeaderEpoch int32 // of the last record read; -1 where unknown
}

// Batch is one append: all or nothing of it is stored.
//
// For each Range, To-From equals its Absent and the Events and Rejected with its coordinates.
type Batch struct {
	Ranges   []Range          // one a partition
	Events   []protect.Sealed // in order of partition and offset; at most MaxBatchEvents
	Rejected []event.Rejected // what could not become an event, with its bytes
}

// MaxBatchEvents is how many events a batch can hold: an event's row id is batch<<14 | index.
const MaxBatchEvents = 1 << 14

// Receipt says what an Append did.
type Receipt struct {
	First        int64 // position of the first stored event; -1 where none was
	Stored       int
	Duplicates   int
	DeadLettered int // rejected before, conflicts and rows that PostgreSQL refused
	Conflicts    int // of DeadLettered: an id that is taken by other content

	// Outcomes say what became of each range that is stored now, also of one that an earlier try of the
	// same batch had stored.
	Outcomes []Outcome

	// Lost are partitions that were fenced off: another consumer owns them now, or the database is
	// an older one. Nothing of them was stored by this call. The caller MUST drop what it has buffered
	// of them and go on at the NextOffset given.
	Lost []Lost

	// Already are partitions whose range had been stored by an earlier try of the same batch.
	Already []Partition
}

// Outcome is what became of the offsets of one range.
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
	NextOffset int64         // what the database says; -1 where it has no row of this topic id
	Recreated  event.TopicID // not zero: the topic was made again and has this id in the database
}
