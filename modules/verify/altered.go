package verify

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

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

// altered tells what was changed in a row, as far as it can be told. A guess at what it was before is
// right if the leaf says so: then nothing else was changed.
func (x *explainer) altered(ctx context.Context, s *suspect) (Finding, error) {
	f := eventFinding(EventAltered, s.row.EventID.String(), "").at(s.position)
	e, ok, err := x.view.Suspect(ctx, s.row.Timestamp, s.row.ID)
	if err := passable(err); err != nil {
		return f, err
	}
	b, err := x.batch(ctx, s.row.Batch())
	if err != nil {
		return f, err
	}
	if !ok || b == nil || s.row.Index() >= len(b.Leaves) {
		f.Detail = "its row is not what was stored"
		return f, nil
	}
	a := attempt{event: e, leaf: b.Leaves[s.row.Index()]}
	key, known := x.byID[e.ID]
	taken := false
	if known && len(x.keys.orphans[s.row.Batch()]) > 0 {
		if taken, err = x.standsElsewhere(ctx, s, &key); err != nil {
			return f, err
		}
		known = !taken
	}
	a.differs(fieldRecordedAt, !e.RecordedAt.Equal(b.RecordedAt), "it was "+event.FormatTime(b.RecordedAt), func(e *event.Stored) { e.RecordedAt = b.RecordedAt })
	if known {
		at := key.Timestamp
		a.differs(fieldTimestamp, !e.Timestamp.Equal(at), "it was "+event.FormatTime(at), func(e *event.Stored) { e.Timestamp = at })
	}
	if a.solved() {
		f.Fields, f.Detail = a.fields, a.text()
		return f, nil
	}
	content := known && digestDiffers(&key, &store.EventRow{Digest: a.event.Digest()})
	found := !known && x.wasOtherID(&a, s)
	if !found && !content {
		if found, err = x.wasElsewhereInKafka(ctx, &a, s); err != nil {
			return f, err
		}
	}
	switch {
	case found:
		f.Fields, f.Detail = a.fields, a.text()
	case taken:
		x.named(&f, &a, s)
	default:
		f.Fields, f.Detail = remaining(&a, key, known)
	}
	return f, nil
}

// attempt is a row with what is known of its former values put in.
type attempt struct {
	event  event.Stored
	leaf   ledger.Hash // of the event as it was stored
	fields []string
	told   []string
}

// differs puts a former value in where it is another one.
func (a *attempt) differs(field string, differs bool, told string, put func(*event.Stored)) {
	if differs {
		put(&a.event)
		a.fields = append(a.fields, field)
		a.told = append(a.told, field+" was changed; "+told)
	}
}

func (a *attempt) solved() bool { return len(a.fields) > 0 && ledger.EventLeaf(&a.event) == a.leaf }

func (a *attempt) text() string { return strings.Join(a.told, ", ") }

// wasOtherID tries the event ids that have a key in the batch and no row.
func (x *explainer) wasOtherID(a *attempt, s *suspect) bool {
	orphans := x.keys.orphans[s.row.Batch()]
	for i, k := range orphans {
		was := a.event
		was.ID = k.EventID
		changed := !was.Timestamp.Equal(k.Timestamp)
		was.Timestamp = k.Timestamp
		if ledger.EventLeaf(&was) != a.leaf {
			continue
		}
		a.differs(fieldEventID, true, "it was "+k.EventID.String(), func(e *event.Stored) { e.ID = k.EventID })
		a.differs(fieldTimestamp, changed, "it was "+event.FormatTime(k.Timestamp), func(e *event.Stored) { e.Timestamp = k.Timestamp })
		x.keys.orphans[s.row.Batch()] = slices.Delete(slices.Clone(orphans), i, i+1)
		return true
	}
	return false
}

// standsElsewhere says whether the event of this id and key stands where it was stored, so that the suspect
// is another one that took its id.
func (x *explainer) standsElsewhere(ctx context.Context, s *suspect, key *store.Key) (stands bool, err error) {
	b, err := x.batch(ctx, key.Batch)
	if err != nil || b == nil || !b.Placed() {
		return false, err
	}
	err = x.view.RowsOf(ctx, key.Batch, key.Batch, func(row *store.EventRow) error {
		at := row.Index()
		stands = stands || row.EventID == s.row.EventID && row.Corrupt == nil && at < len(b.Leaves) && row.Leaf == b.Leaves[at]
		return nil
	})
	return stands, passable(err)
}

// named tells of a row with another event's id which event it was, by elimination: of which the row is gone
// and the key is not.
func (x *explainer) named(f *Finding, a *attempt, s *suspect) {
	orphans := x.keys.orphans[s.row.Batch()]
	f.Fields = append(a.fields, fieldEventID, fieldContent)
	if len(orphans) != 1 {
		f.Detail = fmt.Sprintf("its event id was changed to that of another event, and more of it was changed, too; it was one of %d events of its batch that are not there any more", len(orphans))
		return
	}
	was := orphans[0].EventID.String()
	f.Detail = fmt.Sprintf("its event id was changed to %s, which another event has, and more of it was changed, too; by elimination it was %s", f.EventID, was)
	f.EventID = was
	delete(x.keys.orphans, s.row.Batch())
}

// guesses bounds how many offsets are tried for one row: some ten milliseconds.
const guesses = 20_000

// wasElsewhereInKafka tries the offsets that the batch was made of.
func (x *explainer) wasElsewhereInKafka(ctx context.Context, a *attempt, s *suspect) (bool, error) {
	ranges, ok := x.ranges[s.row.Batch()]
	if !ok {
		var err error
		ranges, err = x.view.RangesOf(ctx, s.row.Batch())
		if err := passable(err); err != nil {
			return false, err
		}
		x.ranges[s.row.Batch()] = ranges
	}
	left := guesses
	for _, r := range ranges {
		was := a.event
		was.Kafka = event.Coordinates{Topic: r.Topic, Partition: r.Partition}
		for was.Kafka.Offset = r.From; was.Kafka.Offset < r.To && left > 0; was.Kafka.Offset++ {
			if left--; ledger.EventLeaf(&was) == a.leaf {
				a.differs(fieldKafka, true, fmt.Sprintf("it was %s/%d offset %d", r.Topic, r.Partition, was.Kafka.Offset),
					func(e *event.Stored) { e.Kafka = was.Kafka })
				return true, nil
			}
		}
	}
	return false, nil
}

// remaining tells by elimination: the digest in event_keys is over what the producer sent.
func remaining(a *attempt, key store.Key, known bool) (fields []string, detail string) {
	fields = a.fields
	switch {
	case !known:
		return append(fields, fieldEventID), "event_keys does not know its event id: the id was changed, or its key was deleted; its content may have been changed too"
	case len(key.Digest) == 0 || key.Digest[0] != event.SchemePlain:
		detail = "its row is not what was stored"
	case string(digest(&a.event)) != string(key.Digest):
		fields = append(fields, fieldContent)
		detail = "its type, aggregate, version, payload or metadata was changed: it is not what its digest in event_keys was made of"
	default:
		fields = append(fields, fieldSalt)
		detail = "its content is what its digest in event_keys was made of; its salt was changed, or its Kafka coordinates, metadata.traceId or metadata.audittrail were"
	}
	if len(a.told) > 0 {
		detail = a.text() + ", and " + detail
	}
	return fields, detail
}

func digest(e *event.Stored) []byte {
	d := e.Digest()
	return d[:]
}

// lostPartitions reports times that no partition holds, though events lie in them.
func (r *run) lostPartitions(ctx context.Context, v *store.View) error {
	for i, gap := range r.uncovered {
		if r.lostTimes[i] == 0 {
			continue
		}
		detached, err := v.Detached(ctx)
		if err := passable(err); err != nil {
			return err
		}
		detail := fmt.Sprintf("no partition of events holds the time from %s to %s, in which %d events lie: it was dropped or detached",
			moment(gap.From, "the beginning"), moment(gap.To, "the end"), r.lostTimes[i])
		if len(detached) > 0 {
			detail += " (these tables are named like partitions and are none: " + strings.Join(detached, ", ") + ")"
		}
		r.findings.add(Finding{Kind: PartitionGone, Log: ledger.Events, Detail: detail})
	}
	return nil
}

func moment(t time.Time, open string) string {
	if t.IsZero() {
		return open
	}
	return event.FormatTime(t)
}
