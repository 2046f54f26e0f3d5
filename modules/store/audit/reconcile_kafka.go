package audit

import (
	"audittrail/modules/event"
	"audittrail/modules/store"
)

// KafkaLog is a partition's log in Kafka. It may have records at the offsets [First, End).
type KafkaLog struct {
	store.Partition // TopicID is the topic's present id in Kafka
	First           int64
	End             int64
}

// OfPositions returns a Reconciliation that knows where each partition stands, and of which nothing was checked. It is
// for CompareKafka, where reading all tables would be too much.
func OfPositions(positions store.Positions) *Reconciliation {
	r := &Reconciliation{Partitions: []PartitionAccount{}, Discrepancies: []Discrepancy{}}
	for partition, at := range positions.All() {
		p := PartitionAccount{Topic: partition.Topic, Partition: partition.Number, FirstOffset: at.FirstOffset, NextOffset: at.NextOffset}
		p.Offsets = p.NextOffset - p.FirstOffset
		r.Total.add(p.Account)
		r.Partitions, r.topics = append(r.Partitions, p), append(r.topics, at.Log)
	}
	return r
}

// CompareKafka adds Kafka's offsets to the accounts, and what contradicts them to the discrepancies. Records that
// are still to be read are no discrepancy.
//
// The caller MUST have read First before the accounting and End after it. Both only grow, so what ingest does
// meanwhile is no discrepancy.
func (r *Reconciliation) CompareKafka(positions store.Positions, logs []KafkaLog) {
	accounts := map[store.Partition]*PartitionAccount{}
	for i := range r.Partitions {
		p := &r.Partitions[i]
		accounts[store.Partition{TopicID: r.topics[i], Topic: p.Topic, Number: p.Partition}] = p
	}
	strangers := map[string]bool{}
	for _, log := range logs {
		known, ok := positions.Admitted[log.Topic]
		if ok && known != log.TopicID {
			if !strangers[log.Topic] {
				strangers[log.Topic] = true
				r.kafka(log, "kafka_topic_id", nil, nil, event.ID(known).String(), event.ID(log.TopicID).String(),
					"a topic in Kafka is the one that is read, and was not deleted and made again")
			}
			continue
		}
		position, _ := positions.Of(log.Partition)
		if position.CutEnd >= 0 && position.NextOffset > position.CutEnd {
			r.kafka(log, "kafka_cut", &position.CutEnd, &position.NextOffset, position.NextOffset, position.CutEnd,
				"Kafka's log was never seen to end before the next offset, or an operator has admitted that it did")
		}
		account := accounts[store.Partition{TopicID: position.Log, Topic: log.Topic, Number: log.Number}]
		if account == nil {
			r.kafka(log, "kafka_unknown_partition", &log.First, &log.End, "a row in ingest_offsets", "nothing",
				"a partition in Kafka is read into this event store, and by nobody else of its consumer group")
			continue
		}
		r.compareLog(log, account)
	}
}

// compareLog compares a log with how far ingest has read it.
func (r *Reconciliation) compareLog(log KafkaLog, account *PartitionAccount) {
	next := account.NextOffset
	toRead := max(0, log.End-max(next, log.First))
	account.KafkaFirst, account.KafkaEnd, account.ToRead = &log.First, &log.End, &toRead
	r.ToRead += toRead
	if log.First > next {
		r.kafka(log, "kafka_first", &next, &log.First, next, log.First, "Kafka's log begins at the next offset or before it: no record was deleted unread")
	}
	if log.End < next {
		r.kafka(log, "kafka_end", &log.End, &next, next, log.End, "Kafka's log reaches to the next offset: it is the log that was read, and was not cut")
	}
}

// kafka adds a discrepancy between Kafka and the accounting.
func (r *Reconciliation) kafka(log KafkaLog, check string, from, to *int64, expected, found any, rule string) {
	if r.kafkaFound++; r.kafkaFound > maxDiscrepancies {
		r.Unlisted++
		return
	}
	d := Discrepancy{Check: check, Topic: log.Topic, From: from, To: to, Expected: expected, Found: found, Detail: rule}
	if check != "kafka_topic_id" {
		d.Partition = &log.Number
	}
	r.Discrepancies = append(r.Discrepancies, d)
}

// TopicGone adds that Kafka does not have a topic that is to be read.
func (r *Reconciliation) TopicGone(topic string, id event.TopicID) {
	r.kafka(KafkaLog{Partition: store.Partition{Topic: topic}}, "kafka_topic_id", nil, nil, event.ID(id).String(), "nothing",
		"a topic that is to be read is in Kafka, and was not deleted")
}
