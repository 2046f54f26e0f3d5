package store

import (
	"time"

	"github.com/jackc/pgx/v5"

	"audittrail/modules/event"
)

// DeadLetter is a record that could not become an event, as it is kept.
type DeadLetter struct {
	ID         int64
	Raw        event.Raw // of a value that was too long, the beginning; Limit of its Oversize is not kept
	Reason     event.Reason
	Field      string // "" for the whole record
	Detail     string
	ReceivedAt time.Time // UTC, whole microseconds

	ValueLength int64  // of the whole value; -1 where the record had none
	ValueSHA256 []byte // of the whole value; nil where the record had none

	Omitted Omitted // what Raw lacks, since it is longer than ShownBytes
}

// Omitted are parts of a dead letter.
type Omitted struct{ Key, Value, Headers bool }

// Any reports whether there is one.
func (o Omitted) Any() bool { return o.Key || o.Value || o.Headers }

// ShownBytes is how long a dead letter's key, its value, and its headers together may be where it is read
// as one piece.
const ShownBytes = 64 << 10

const (
	// deadLetterColumns are what scanDeadLetter reads, behind the record's own bytes.
	deadLetterColumns = `id, topic_id, topic, partition, "offset", reason, field, detail, received_at,
		coalesce(value_length, octet_length(value), -1), `

	// Rows of before migration 5 keep values that are too large whole, and a value that is too large may be
	// of any size: none of them is read as one piece.
	publishedColumns = deadLetterColumns + `coalesce(value_sha256, sha256(value)), false, false, false, key,
		CASE WHEN reason <> 'too_large' THEN value END, header_keys, header_values`

	// SHA-256 of rows of before is left to whoever knows how many there are. Headers that are long as they
	// are stored, compressed, need not be unpacked to be measured; 40 is about what each takes in JSON.
	shownColumns = deadLetterColumns + `value_sha256, long_key, long_value, long_headers,
		CASE WHEN NOT long_key THEN key END, CASE WHEN NOT long_value THEN value END,
		CASE WHEN NOT long_headers THEN header_keys ELSE '{}' END, CASE WHEN NOT long_headers THEN header_values ELSE '{}' END`
	shownFrom = ` FROM dead_letters CROSS JOIN LATERAL (SELECT
			octet_length(key) > 65536 IS TRUE AS long_key, octet_length(value) > 65536 IS TRUE AS long_value,
			CASE WHEN pg_column_size(header_keys) + pg_column_size(header_values) > 65536 + 64 * cardinality(header_keys) THEN true
				ELSE (SELECT coalesce(sum(octet_length(k) + coalesce(octet_length(v), 0) + 40), 0) > 65536
					FROM unnest(header_keys, header_values) AS h (k, v)) END AS long_headers) AS l `
)

type scanner interface{ Scan(into ...any) error }

// scanDeadLetter is the one place that turns a row of dead_letters into a DeadLetter.
func scanDeadLetter(row scanner) (DeadLetter, error) {
	var (
		d            DeadLetter
		topicID      [16]byte
		reason       string
		keys, values [][]byte
	)
	err := row.Scan(&d.ID, &topicID, &d.Raw.Topic, &d.Raw.Partition, &d.Raw.Offset, &reason, &d.Field, &d.Detail, &d.ReceivedAt,
		&d.ValueLength, &d.ValueSHA256, &d.Omitted.Key, &d.Omitted.Value, &d.Omitted.Headers, &d.Raw.Key, &d.Raw.Value, &keys, &values)
	if err != nil {
		return DeadLetter{}, err
	}
	d.Raw.TopicID, d.Reason, d.ReceivedAt = topicID, event.Reason(reason), d.ReceivedAt.UTC()
	if !d.Omitted.Value && d.ValueLength > int64(len(d.Raw.Value)) && len(d.ValueSHA256) == 32 {
		d.Raw.Oversize = &event.Oversize{Length: d.ValueLength, SHA256: [32]byte(d.ValueSHA256)}
	}
	for i := range keys {
		d.Raw.Headers = append(d.Raw.Headers, event.Header{Key: string(keys[i]), Value: values[i]})
	}
	return d, nil
}

// collectDeadLetters reads all rows.
func collectDeadLetters(rows pgx.Rows) ([]DeadLetter, error) {
	return pgx.CollectRows(rows, func(row pgx.CollectableRow) (DeadLetter, error) { return scanDeadLetter(row) })
}
