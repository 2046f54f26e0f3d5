package store

import (
	"time"

	"audittrail/modules/event"
)

// DeadLetter is a record that could not become an event, as it is kept.
type DeadLetter struct {
	ID         int64
	Raw        event.Raw
	Reason     event.Reason
	Field      string // "" for the whole record
	Detail     string
	ReceivedAt time.Time // UTC, whole microseconds
}

// deadLetterColumns are what scanDeadLetter reads.
const deadLetterColumns = `id, topic_id, topic, partition, "offset", reason, field, detail, key, value,
	header_keys, header_values, received_at`

type scanner interface{ Scan(into ...any) error }

// scanDeadLetter is the one place that turns a row of dead_letters into a DeadLetter.
func scanDeadLetter(row scanner) (DeadLetter, error) {
	var (
		d            DeadLetter
		topicID      [16]byte
		reason       string
		keys, values [][]byte
	)
	err := row.Scan(&d.ID, &topicID, &d.Raw.Topic, &d.Raw.Partition, &d.Raw.Offset, &reason, &d.Field, &d.Detail,
		&d.Raw.Key, &d.Raw.Value, &keys, &values, &d.ReceivedAt)
	if err != nil {
		return DeadLetter{}, err
	}
	d.Raw.TopicID, d.Reason, d.ReceivedAt = topicID, event.Reason(reason), d.ReceivedAt.UTC()
	for i := range keys {
		d.Raw.Headers = append(d.Raw.Headers, event.Header{Key: string(keys[i]), Value: values[i]})
	}
	return d, nil
}
