package benchdb

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"audittrail/modules/sample"
)

// seed makes every run measure the same events.
const seed = 1

// span is the time over which the orders are placed. Traffic as it comes in live falls into one monthly
// partition, with little before and after it.
const span = 15 * 24 * time.Hour

// eventsPerOrder is roughly how many a story has.
const eventsPerOrder = 10

// Orders makes n events of a busy shop, all good and all different, of last month.
func Orders(n int) []sample.Record {
	now := time.Now().UTC()
	start := time.Date(now.Year(), now.Month()-1, 1, 0, 0, 0, 0, time.UTC)
	interval := span * eventsPerOrder / time.Duration(n)
	return take(n, sample.Options{Seed: seed, Start: start, Interval: interval})
}

// LiveOrders makes n events of the last minute, as live traffic has them: whole orders pass in seconds.
func LiveOrders(n int) []sample.Record {
	interval := time.Minute * eventsPerOrder / time.Duration(n)
	return take(n, sample.Options{Seed: seed, Start: time.Now().Add(-time.Minute), Interval: interval, Live: true})
}

func take(n int, opts sample.Options) []sample.Record {
	generator := sample.New(opts)
	records := make([]sample.Record, 0, n)
	for len(records) < n {
		records = append(records, generator.Next())
	}
	return records
}

// File reads the events of an NDJSON file, plain or (named .gz) gzip, keyed as `audittrail publish` keys
// them. They are published now, whenever they happened.
func File(path string) (_ []sample.Record, err error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	var text io.Reader = f
	if strings.HasSuffix(path, ".gz") {
		if text, err = gzip.NewReader(f); err != nil {
			return nil, fmt.Errorf("%s: %w", path, err)
		}
	}
	now := time.Now()
	var records []sample.Record
	lines := bufio.NewScanner(text)
	lines.Buffer(nil, 1<<20) // ingest.max_record_bytes
	for lines.Scan() {
		var e struct {
			AggregateID string `json:"aggregateId"`
		}
		if err := json.Unmarshal(lines.Bytes(), &e); err != nil {
			return nil, fmt.Errorf("%s: line %d: %w", path, len(records)+1, err)
		}
		records = append(records, sample.Record{Key: []byte(e.AggregateID), Value: bytes.Clone(lines.Bytes()), At: now})
	}
	if err := lines.Err(); err != nil {
		return nil, fmt.Errorf("%s: line %d: %w", path, len(records)+1, err)
	}
	return records, nil
}
