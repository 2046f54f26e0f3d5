package store

import (
	"time"

	"github.com/jackc/pgx/v5"

	"audittrail/modules/event"
	"audittrail/modules/protect"
)

// DeadLetter is a stored record that could not become an event.
type DeadLetter struct {
	ID         int64
	Raw        event.Raw // the value is only a beginning if it was too long; Oversize.Limit is not stored; older rows have ReceivedAt as Time
	Reason     event.Reason
	Field      string // "" for the whole record
	Detail     string
	ReceivedAt time.Time // UTC, whole microseconds

	ValueLength int64  // of the whole value; -1 if the record had none
	ValueSHA256 []byte // of the whole value; nil if the record had none, or is sealed

	SealedBy *protect.KeyID // the key that the value is sealed with; Raw has it as it is stored, or opened by a Reader

	Fate  *Fate  // nil while it is pending
	Retry *Retry // the last redrive that failed; nil without one

	Omitted Omitted // which parts Raw lacks, since they are longer than ShownBytes
}

// Omitted says which parts of a dead letter are left out.
type Omitted struct{ Key, Value, Headers bool }

// Any reports whether any part is left out.
func (o Omitted) Any() bool { return o.Key || o.Value || o.Headers }

// ShownBytes is how long the key, the value, and all headers of a dead letter may each be to be read in one piece.
const ShownBytes = 64 << 10

const (
	// deadLetterColumns are the first columns that scanDeadLetter reads. The record's bytes follow them.
	deadLetterColumns = `id, topic_id, topic, partition, "offset", reason, field, detail, received_at, coalesce(record_time, received_at),
		coalesce(value_length, octet_length(value), -1), sealed_by, `

	// Rows from before migration 5 have the whole value even if it is too large, of any size. So such values are not
	// read here.
	wholeColumns     = deadLetterColumns + `coalesce(value_sha256, CASE WHEN sealed_by IS NULL THEN sha256(value) END), false, false, false, key, `
	publishedColumns = wholeColumns + `CASE WHEN reason <> 'too_large' AND sealed_by IS NULL THEN value END, header_keys, header_values`
	redrivenColumns  = wholeColumns + `CASE WHEN reason <> 'too_large' THEN value END, header_keys, header_values`

	// Rows from before migration 5 have no SHA-256; a caller that reads few rows computes it. Headers that are long
	// even when compressed need not be unpacked to be measured. 40 is about the bytes that each header adds in JSON.
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

// scanDeadLetter reads a row of dead_letters. No other code does.
func scanDeadLetter(row scanner) (DeadLetter, error) {
	var (
		d            DeadLetter
		topicID      [16]byte
		reason       string
		keys, values [][]byte
		sealedBy     *[16]byte
	)
	err := row.Scan(&d.ID, &topicID, &d.Raw.Topic, &d.Raw.Partition, &d.Raw.Offset, &reason, &d.Field, &d.Detail, &d.ReceivedAt, &d.Raw.Time,
		&d.ValueLength, &sealedBy, &d.ValueSHA256, &d.Omitted.Key, &d.Omitted.Value, &d.Omitted.Headers, &d.Raw.Key, &d.Raw.Value, &keys, &values)
	if err != nil {
		return DeadLetter{}, err
	}
	d.Raw.TopicID, d.Reason, d.ReceivedAt = topicID, event.Reason(reason), d.ReceivedAt.UTC()
	d.Raw.Time = d.Raw.Time.UTC()
	d.SealedBy = (*protect.KeyID)(sealedBy)
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
