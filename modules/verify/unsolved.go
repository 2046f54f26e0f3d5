package verify

import (
	"context"
	"fmt"
	"slices"

	"audittrail/modules/event"
	"audittrail/modules/ledger"
	"audittrail/modules/store"
)

// What no guess at a single row tells, elimination may: which keys of its batch have no row, and which
// positions have none.

// identify notes that the leaf of a suspect says which event it is.
func (x *explainer) identify(id event.ID, batch int64) {
	x.identified[id] = true
	x.keys.orphans[batch] = slices.DeleteFunc(x.keys.orphans[batch], func(k store.Key) bool { return k.EventID == id })
}

// mayHide says whether a batch may have more rows than so many of which it is not known which event they were.
func (x *explainer) mayHide(batch int64, most int) bool { return x.crowded || x.nameless[batch] > most }

// unsolved explains the rows that were put off.
func (x *explainer) unsolved(ctx context.Context) error {
	taken, err := x.taken(ctx)
	if err != nil {
		return err
	}
	for _, s := range x.later {
		if _, known := x.byID[s.row.EventID]; !known || taken[s] {
			x.nameless[s.row.Batch()]++
		}
	}
	for len(x.later) > 0 {
		s := x.later[0]
		f, err := x.explainUnsolved(ctx, s, taken[s])
		if err != nil {
			return err
		}
		x.run.findings.add(f)
		x.later = x.later[1:]
	}
	return nil
}

// taken tells of which rows that were put off the id is that of an event which stands where it was stored, so
// that the row is another one that took its id. Each batch in which such an event may stand is read once.
func (x *explainer) taken(ctx context.Context) (map[*suspect]bool, error) {
	taken := map[*suspect]bool{}
	claims := map[int64][]*suspect{} // by the batch of the id's key
	for _, s := range x.later {
		key, known := x.byID[s.row.EventID]
		switch {
		case !known:
		case x.identified[key.EventID]:
			taken[s] = true
		case len(x.keys.orphans[s.row.Batch()]) == 0, x.keys.isUnread(key.Batch), !digestDiffers(&key, &s.row):
			// No event of its batch is looked for, or it can't be told, or the id is its own.
		default:
			claims[key.Batch] = append(claims[key.Batch], s)
		}
	}
	for batch, list := range claims {
		standing, err := x.standing(ctx, batch)
		if err != nil {
			return nil, err
		}
		for _, s := range list {
			taken[s] = standing[s.row.EventID]
		}
	}
	return taken, nil
}

// standing are the events of a batch whose rows give their leaf.
func (x *explainer) standing(ctx context.Context, batch int64) (map[event.ID]bool, error) {
	ids := map[event.ID]bool{}
	b, err := x.batch(ctx, batch)
	if err != nil || b == nil || !b.Placed() {
		return ids, err
	}
	err = x.view.RowsOf(ctx, batch, batch, func(row *store.EventRow) error {
		if at := row.Index(); row.Corrupt == nil && at < len(b.Leaves) && row.Leaf == b.Leaves[at] {
			ids[row.EventID] = true
		}
		return nil
	})
	return ids, passable(err)
}

func (x *explainer) explainUnsolved(ctx context.Context, s *suspect, taken bool) (Finding, error) {
	f := eventFinding(EventAltered, s.row.EventID.String(), "its row is not what was stored").at(s.position)
	a, ok, err := x.attempt(ctx, s)
	if err != nil || !ok {
		return f, err
	}
	key, known := x.byID[s.row.EventID]
	batch := s.row.Batch()
	orphans := x.keys.orphans[batch]
	switch {
	case known && !taken:
		f.Fields, f.Detail, err = x.byKey(ctx, &a, s, &key)
	case x.unreadKeys[s.row.EventID]:
		f.Fields, f.Detail = a.fields, a.with("its row is not what was stored; its row in event_keys can't be read")
	case len(orphans) == 1 && !x.mayHide(batch, 1) && !x.gone.lack(batch):
		return x.eliminated(ctx, f, &a, s, taken)
	case taken:
		f.Fields = append(a.fields, fieldEventID)
		f.Detail = "its event id was changed to that of another event, and more of it may have been changed, too"
		if len(orphans) > 0 {
			f.Detail += fmt.Sprintf("; it may be one of %d events of its batch that have a key and no row", len(orphans))
		}
		f.Detail = a.with(f.Detail)
	default:
		f.Fields = append(a.fields, fieldEventID)
		f.Detail = a.with("event_keys does not know its event id: the id was changed, or its key was deleted; its content may have been changed too")
	}
	return f, err
}

// eliminated tells of a row with an id that is not its own which event it was: the only one of its batch of
// which the row is gone and the key is not.
func (x *explainer) eliminated(ctx context.Context, f Finding, a *attempt, s *suspect, taken bool) (Finding, error) {
	key := x.keys.orphans[s.row.Batch()][0]
	whose := "event_keys does not know"
	if taken {
		whose = "another event has"
	}
	a.event.ID = key.EventID
	a.fields = append(a.fields, fieldEventID)
	fields, detail, err := x.byKey(ctx, a, s, &key)
	if err != nil {
		return f, err
	}
	x.identify(key.EventID, s.row.Batch())
	f.Fields = fields
	f.Detail = fmt.Sprintf("its event id was changed to %s, which %s, and more of it was changed, too; by elimination it was %s: %s", f.EventID, whose, key.EventID, detail)
	f.EventID = key.EventID.String()
	return f, nil
}

// byKey tells by elimination, too: a key has the event's timestamp, and its digest is over what the producer
// sent.
func (x *explainer) byKey(ctx context.Context, a *attempt, s *suspect, key *store.Key) (fields []string, detail string, err error) {
	a.differs(fieldTimestamp, !a.event.Timestamp.Equal(key.Timestamp), "it was "+event.FormatTime(key.Timestamp))
	a.event.Timestamp = key.Timestamp
	digest := a.event.Digest()
	switch {
	case len(key.Digest) == 0 || key.Digest[0] != event.SchemePlain:
		return a.fields, a.with("its row is not what was stored"), nil
	case string(digest[:]) != string(key.Digest):
		return append(a.fields, fieldContent), a.with("its type, aggregate, version, payload or metadata was changed: it is not what its digest in event_keys was made of"), nil
	}
	found, all, err := x.wasElsewhereInKafka(ctx, a, s)
	const same = "its content is what its digest in event_keys was made of"
	switch {
	case err != nil || found:
		return a.fields, a.text(), err
	case s.position >= x.run.heads[ledger.Events].proven:
		return a.fields, a.with(same + ": its row or its leaf hash in ledger_batches was changed"), nil
	case !all:
		return a.fields, a.with(same + "; its Kafka coordinates were changed, of which not all that it may have had were tried, or its salt, metadata.traceId or metadata.audittrail were"), nil
	}
	return append(a.fields, fieldSalt), a.with(same + "; its salt was changed, or its Kafka coordinates, metadata.traceId or metadata.audittrail were"), nil
}
