package main

import (
	"bufio"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"audittrail/modules/sample"
)

// workload is the events, once as Kafka records and once as psql's \copy takes them.
type workload struct {
	records   []sample.Record
	briefFile string // rows of the brief's table
	ownFile   string // rows of our table
}

// wire is an event as a record has it. bench reads it by itself, so that the files for \copy owe
// nothing to the code that is measured.
type wire struct {
	EventID       string          `json:"eventId"`
	EventType     string          `json:"eventType"`
	AggregateID   string          `json:"aggregateId"`
	AggregateType string          `json:"aggregateType"`
	Timestamp     time.Time       `json:"timestamp"`
	Version       json.Number     `json:"version"`
	Payload       json.RawMessage `json:"payload"`
	Metadata      json.RawMessage `json:"metadata"`
}

// newWorkload is of records that are all good and all different.
func newWorkload(records []sample.Record, dir string) (*workload, error) {
	w := &workload{
		records:   records,
		briefFile: filepath.Join(dir, "brief.copy"),
		ownFile:   filepath.Join(dir, "own.copy"),
	}
	if err := w.write(w.briefFile, briefRow); err != nil {
		return nil, err
	}
	return w, w.write(w.ownFile, ownRow)
}

// write makes a file in COPY's text format, a row an event.
func (w *workload) write(path string, row func(i int, e wire) []string) error {
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	defer f.Close() // a failure to write shows in Flush
	out := bufio.NewWriterSize(f, 1<<20)
	escape := strings.NewReplacer(`\`, `\\`, "\t", `\t`, "\n", `\n`, "\r", `\r`)
	for i, record := range w.records {
		var e wire
		if err := json.Unmarshal(record.Value, &e); err != nil {
			return fmt.Errorf("event %d: %w", i, err)
		}
		if len(e.Metadata) == 0 {
			e.Metadata = json.RawMessage("{}")
		}
		for column, value := range row(i, e) {
			if column > 0 {
				_ = out.WriteByte('\t') // failures of a bufio.Writer stay until Flush
			}
			_, _ = escape.WriteString(out, value)
		}
		_ = out.WriteByte('\n')
	}
	if err := out.Flush(); err != nil {
		return err
	}
	return os.Chmod(path, 0o644)
}

// briefColumns: id and created_at have defaults.
const briefColumns = "event_id, event_type, aggregate_id, aggregate_type, timestamp, version, payload, metadata"

func briefRow(_ int, e wire) []string {
	return []string{e.EventID, e.EventType, e.AggregateID, e.AggregateType, e.Timestamp.Format(time.RFC3339Nano),
		e.Version.String(), string(e.Payload), string(e.Metadata)}
}

const ownColumns = "id, timestamp, created_at, kafka_offset, kafka_partition, version, event_id, event_type, " +
	"aggregate_type, aggregate_id, kafka_topic, salt, payload, metadata"

// ownRow numbers rows as ingest would, in batches of 4,000.
func ownRow(i int, e wire) []string {
	const batch = 4000
	var salt [16]byte
	_, _ = rand.Read(salt[:]) // never fails
	at := e.Timestamp.Format(time.RFC3339Nano)
	id := (1+i/batch)<<14 | i%batch
	return []string{strconv.Itoa(id), at, at, strconv.Itoa(i), "0", e.Version.String(), e.EventID, e.EventType,
		e.AggregateType, e.AggregateID, topicAll, `\x` + hex.EncodeToString(salt[:]), string(e.Payload), string(e.Metadata)}
}

// halfDuplicates is a stream as long as the workload in which every second record repeats one that
// came a while before: of another batch mostly, and of the same partition, since it has the same key.
func (w *workload) halfDuplicates() []sample.Record {
	const distance = 20_000 // fresh records between an event and its repeat
	fresh := w.records[:len(w.records)/2]
	stream := make([]sample.Record, 0, 2*len(fresh))
	for i := range len(fresh) + distance {
		if i < len(fresh) {
			stream = append(stream, fresh[i])
		}
		if i >= distance {
			stream = append(stream, fresh[i-distance])
		}
	}
	return stream
}
