package verify

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"audittrail/modules/event"
	"audittrail/modules/ledger"
	"audittrail/modules/store"
)

// Members of an event, as findings name them.
const (
	fieldEventID    = "eventId"
	fieldTimestamp  = "timestamp"
	fieldRecordedAt = "recordedAt"
	fieldKafka      = "kafka"
	fieldSalt       = "salt"
	fieldContent    = "content" // eventType, aggregateId, aggregateType, version, payload or metadata
)

// altered tells what was changed in a row, as far as a guess at what it was before gives the leaf: then nothing
// else was changed. Where none does, ok is false: then more can be told once all rows were tried (unsolved.go).
func (x *explainer) altered(ctx context.Context, s *suspect) (f Finding, ok bool, err error) {
	f = eventFinding(EventAltered, s.row.EventID.String(), "").at(s.position)
	a, ok, err := x.attempt(ctx, s)
	if err != nil || !ok {
		f.Detail = "its row is not what was stored"
		return f, true, err
	}
	own, known := x.byID[s.row.EventID]
	found := a.solved()
	if !found && known {
		a, found = a.as(&own)
	}
	if !found {
		a, found = x.wasOtherID(a, s)
	}
	if !found && !known {
		found, _, err = x.wasElsewhereInKafka(ctx, &a, s)
	}
	if err != nil || !found {
		return f, false, err
	}
	x.identify(a.event.ID, s.row.Batch())
	f.EventID, f.Fields, f.Detail = a.event.ID.String(), a.fields, a.text()
	return f, true, nil
}

// attempt is a row with what is known of its former values put in.
type attempt struct {
	event  event.Stored
	leaf   ledger.Hash // of the event as it was stored
	fields []string
	told   []string
}

// attempt reads a row again, and what its batch says of it. ok is false where either can't be had.
func (x *explainer) attempt(ctx context.Context, s *suspect) (a attempt, ok bool, err error) {
	e, ok, err := x.view.Suspect(ctx, s.row.Timestamp, s.row.ID)
	if err := passable(err); err != nil {
		return a, false, err
	}
	b, err := x.batch(ctx, s.row.Batch())
	if err != nil || !ok || b == nil || s.row.Index() >= len(b.Leaves) {
		return a, false, err
	}
	a = attempt{event: e, leaf: b.Leaves[s.row.Index()]}
	a.differs(fieldRecordedAt, !e.RecordedAt.Equal(b.RecordedAt), "it was "+event.FormatTime(b.RecordedAt))
	a.event.RecordedAt = b.RecordedAt
	return a, true, nil
}

// differs notes that a field had another value.
func (a *attempt) differs(field string, differs bool, told string) {
	if differs {
		a.fields = append(a.fields, field)
		a.told = append(a.told, field+" was changed; "+told)
	}
}

func (a *attempt) solved() bool { return len(a.fields) > 0 && ledger.EventLeaf(&a.event) == a.leaf }

func (a *attempt) text() string { return strings.Join(a.told, ", ") }

// with is what is known and what is supposed.
func (a *attempt) with(detail string) string {
	return strings.Join(append(slices.Clone(a.told), detail), ", and ")
}

// as tries the event id and the timestamp of a key. Where they are not what the row had, the attempt stays as
// it was.
func (a attempt) as(k *store.Key) (attempt, bool) {
	was := a
	was.event.ID, was.event.Timestamp = k.EventID, k.Timestamp
	if ledger.EventLeaf(&was.event) != a.leaf {
		return a, false
	}
	was.fields, was.told = slices.Clone(a.fields), slices.Clone(a.told)
	was.differs(fieldEventID, a.event.ID != k.EventID, fmt.Sprintf("it was %s, and is %s now", k.EventID, a.event.ID))
	was.differs(fieldTimestamp, !a.event.Timestamp.Equal(k.Timestamp), "it was "+event.FormatTime(k.Timestamp))
	return was, true
}

// wasOtherID tries the event ids that have a key in the batch and no row, and those that other rows have which
// do not fit, since ids may have been exchanged.
func (x *explainer) wasOtherID(a attempt, s *suspect) (attempt, bool) {
	batch := s.row.Batch()
	left := guessesFor(&a.event)
	for _, keys := range [][]store.Key{x.keys.orphans[batch], x.claimed[batch]} {
		for i := range keys[:min(len(keys), left)] {
			if was, ok := a.as(&keys[i]); ok {
				return was, true
			}
		}
		left -= min(len(keys), left)
	}
	return a, false
}

// guesses and guessedBytes bound what is tried for one row: some ten milliseconds for an event of common size,
// less than a second for any.
const (
	guesses      = 20_000
	guessedBytes = 256 << 20
)

// guessesFor is how many guesses at an event are tried.
func guessesFor(e *event.Stored) int {
	return 1 + min(guesses, guessedBytes/(1+len(e.Payload)+len(e.Metadata)))
}

// wasElsewhereInKafka tries the offsets that the batch was made of. all is false where some were not tried.
func (x *explainer) wasElsewhereInKafka(ctx context.Context, a *attempt, s *suspect) (found, all bool, err error) {
	ranges, err := x.rangesOf(ctx, s.row.Batch())
	if err != nil {
		return false, false, err
	}
	was := a.event
	left := guessesFor(&was)
	for _, r := range ranges {
		was.Kafka = event.Coordinates{Topic: r.Topic, Partition: r.Partition}
		for was.Kafka.Offset = r.From; was.Kafka.Offset < r.To; was.Kafka.Offset++ {
			if left--; left < 0 {
				return false, false, nil
			}
			if ledger.EventLeaf(&was) == a.leaf {
				a.differs(fieldKafka, true, fmt.Sprintf("it was %s/%d offset %d", r.Topic, r.Partition, was.Kafka.Offset))
				a.event.Kafka = was.Kafka
				return true, true, nil
			}
		}
	}
	return false, len(ranges) > 0, nil
}

// rangesOf reads the ranges of offsets that a batch was made of; none where they can't be read.
func (x *explainer) rangesOf(ctx context.Context, batch int64) ([]store.StoredRange, error) {
	if ranges, ok := x.ranges[batch]; ok {
		return ranges, nil
	}
	ranges, err := x.view.RangesOf(ctx, batch)
	if err != nil {
		ranges = nil
	}
	x.ranges[batch] = ranges
	return ranges, passable(err)
}
