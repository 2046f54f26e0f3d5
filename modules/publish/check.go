package publish

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"audittrail/modules/event"
)

// Tally is what Check has found.
type Tally struct {
	Lines int64 `json:"lines"` // read, blank ones included
	Blank int64 `json:"blank"` // skipped
	Good  int64 `json:"good"`  // are events
	Bad   int64 `json:"bad"`   // would become dead letters
}

// Check judges each line of in as ingest would judge the record that Run makes of it, and sends nothing. bad is
// called for each line that is no event, in order; an error of bad ends it. Check holds one line at a time, of
// rules.MaxRecordBytes at most. What Kafka or the event store may refuse besides, it can't tell: a line beyond
// the topic's max.message.bytes, an event id that is taken.
func Check(ctx context.Context, in io.Reader, rules event.Rules, bad func(line int64, why *event.Rejected) error) (Tally, error) {
	var t Tally
	text, err := plain(in)
	if err != nil {
		return t, err
	}
	lines := bufio.NewReaderSize(text, 64<<10)
	for {
		line, err := readLine(lines, rules.MaxRecordBytes)
		if errors.Is(err, io.EOF) {
			return t, nil
		}
		if err == nil {
			err = ctx.Err()
		}
		if err != nil {
			return t, fmt.Errorf("read after line %d: %w", t.Lines, err)
		}
		t.Lines++
		if len(bytes.TrimSpace(line)) == 0 {
			t.Blank++
			continue
		}
		why := judge(line, rules)
		if why == nil {
			t.Good++
			continue
		}
		t.Bad++
		if err := bad(t.Lines, why); err != nil {
			return t, err
		}
	}
}

// judge says why a line is no event; nil where it is one.
func judge(line []byte, rules event.Rules) *event.Rejected {
	if len(line) > rules.MaxRecordBytes {
		return &event.Rejected{Reason: event.TooLarge, Detail: fmt.Sprintf("has more than the %d bytes that are allowed", rules.MaxRecordBytes)}
	}
	decoded, why := event.Decode(event.Raw{Value: line})
	if why == nil {
		_, why = decoded.Validate(rules, time.Now())
	}
	return why
}

// readLine reads a line without its end. Of a line that is longer than most it gives a part, which is longer
// too. The error is io.EOF where nothing is left.
func readLine(r *bufio.Reader, most int) ([]byte, error) {
	var line []byte
	for {
		part, err := r.ReadSlice('\n')
		if len(line) <= most+len("\r\n") {
			line = append(line, part...)
		}
		switch {
		case errors.Is(err, bufio.ErrBufferFull):
		case err != nil && (!errors.Is(err, io.EOF) || len(line) == 0):
			return nil, err
		default:
			return bytes.TrimSuffix(bytes.TrimSuffix(line, []byte("\n")), []byte("\r")), nil
		}
	}
}
