package ingest

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"audittrail/modules/event"
	"audittrail/modules/store"
)

const (
	// deadLetterHeader begins the names of the headers that a dead letter gains.
	deadLetterHeader = "audittrail-dead-letter-"
	// letterSlack is what headers may add to a record on its way to a dead-letter topic.
	letterSlack = 64 << 10
	// maxLetterBytes is the largest record that is sent: the longest value that is read, and headers.
	maxLetterBytes = event.RecordBytesLimit + 1<<20
)

// publish sends the letters and answers the ids of those that Kafka has acknowledged.
func (p *publisher) publish(ctx context.Context, letters []store.DeadLetter) []int64 {
	errs := p.send(ctx, letters)
	if errs == nil {
		return nil
	}
	p.sendAgain(ctx, letters, errs)
	acked := make([]int64, 0, len(letters))
	for i := range letters {
		if errors.Is(errs[i], kerr.MessageTooLarge) {
			// Letters travel in batches: it may be the company that is too large.
			errs[i] = p.client.ProduceSync(ctx, p.record(&letters[i])).FirstErr()
		}
		if errs[i] == nil {
			acked = append(acked, letters[i].ID)
			continue
		}
		topic := letters[i].Raw.Topic
		if errors.Is(errs[i], kerr.MessageTooLarge) {
			p.refused[topic] = fmt.Errorf("dead letter %d: %w", letters[i].ID, errs[i]) // the others may go
			continue
		}
		delete(p.exists, topic) // it may have been deleted
		p.rest(topic, errs[i])
	}
	p.metrics.published.WithLabelValues("acknowledged").Add(float64(len(acked)))
	p.metrics.published.WithLabelValues("failed").Add(float64(len(letters) - len(acked)))
	return acked
}

// send answers what became of each letter; nil where ctx ended, since nothing is known then of what is
// still on its way.
func (p *publisher) send(ctx context.Context, letters []store.DeadLetter) []error {
	errs := make([]error, len(letters))
	for i := range letters {
		letter := &letters[i]
		if errs[i] = p.ensure(ctx, letter.Raw.Topic); errs[i] == nil {
			p.client.Produce(ctx, p.record(letter), func(_ *kgo.Record, err error) { errs[i] = err })
		}
	}
	if p.client.Flush(ctx) != nil {
		return nil
	}
	return errs
}

// sendAgain looks after topics that are not there any more, once, and sends their letters again.
func (p *publisher) sendAgain(ctx context.Context, letters []store.DeadLetter, errs []error) {
	var again []store.DeadLetter
	var at []int
	for i := range letters {
		if p.exists[letters[i].Raw.Topic] && isGone(errs[i]) {
			again, at = append(again, letters[i]), append(at, i)
		}
	}
	for i := range again {
		delete(p.exists, again[i].Raw.Topic)
	}
	for i, err := range p.send(ctx, again) {
		errs[at[i]] = err
	}
}

// isGone tells that a topic was deleted, or deleted and made again, since it was last written to.
func isGone(err error) bool {
	return errors.Is(err, kerr.UnknownTopicID) || errors.Is(err, kerr.UnknownTopicOrPartition)
}

// record is the dead letter as its topic gets it: the record as it was, and why it is there. One whose value
// is not kept whole has none, and headers that tell the value's length and hash.
func (p *publisher) record(d *store.DeadLetter) *kgo.Record {
	headers := make([]kgo.RecordHeader, 0, len(d.Raw.Headers)+8)
	for _, h := range d.Raw.Headers {
		if !strings.HasPrefix(h.Key, deadLetterHeader) { // of an earlier life of the record
			headers = append(headers, kgo.RecordHeader{Key: h.Key, Value: h.Value})
		}
	}
	add := func(name, value string) {
		headers = append(headers, kgo.RecordHeader{Key: deadLetterHeader + name, Value: []byte(value)})
	}
	add("id", strconv.FormatInt(d.ID, 10))
	add("reason", string(d.Reason))
	add("detail", d.Detail)
	add("topic", d.Raw.Topic)
	add("partition", strconv.Itoa(int(d.Raw.Partition)))
	add("offset", strconv.FormatInt(d.Raw.Offset, 10))
	value := d.Raw.Value
	if d.Raw.Oversize != nil {
		value = nil
		add("value-length", strconv.FormatInt(d.ValueLength, 10))
		add("value-sha256", hex.EncodeToString(d.ValueSHA256))
	}
	return &kgo.Record{Topic: d.Raw.Topic + p.suffix, Key: d.Raw.Key, Value: value, Headers: headers}
}
