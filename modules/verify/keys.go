package verify

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"

	"audittrail/modules/ledger"
	"audittrail/modules/store"
)

// keyDifferences reports rows that give their leaf, but have another key or none, and keys that have no
// row and never had. What is signed tells which of row and key was changed. Of rows that were compared with no
// leaf, since no partition of ours holds them, nothing is said.
func (x *explainer) keyDifferences() {
	suspects := map[int64]bool{}
	for _, list := range x.run.suspects.lists() {
		for i := range list.kept {
			suspects[list.kept[i].row.ID] = true
		}
	}
	fits := func(row *store.EventRow) bool { return !suspects[row.ID] && x.run.blocks.fits(x.position(row)) }
	for _, d := range x.keys.unlike {
		if fits(&d.row) {
			x.keyDifference(&d)
		}
	}
	for _, row := range x.keys.keyless {
		if fits(&row) {
			x.run.findings.add(eventFinding(KeyMissing, row.EventID.String(), "event_keys does not have it, so that it could be stored a second time").at(x.position(&row)))
		}
	}
	for _, batch := range slices.Sorted(maps.Keys(x.keys.orphans)) {
		why := "event_keys has it, but there is no such event, and none is missing in its batch"
		if x.mayHide(batch, 0) || x.gone.lack(batch) || len(x.keys.unread)+len(x.keys.rest) > 0 {
			why = "event_keys has it, but no such event was found: it was removed, or its event id was changed, or the key is none that was stored"
		}
		for _, key := range x.keys.orphans[batch] {
			x.run.findings.add(eventFinding(KeyWithoutEvent, key.EventID.String(), why))
		}
	}
	for kind, n := range x.keys.more {
		x.run.findings.count(kind, n)
	}
	x.notCompared()
	for _, number := range x.keys.rest {
		x.run.findings.add(Finding{Kind: KeyAltered, Log: ledger.Events,
			Detail: "events and their keys do not agree among these positions; too many differ for each to be named"}.within(number*blockWidth, (number+1)*blockWidth))
	}
}

func (x *explainer) keyDifference(d *keyDifference) {
	var fields []string
	if d.key.Batch != d.row.Batch() {
		fields = append(fields, "batch")
	}
	if !d.key.Timestamp.Equal(d.row.Timestamp) {
		fields = append(fields, fieldTimestamp)
	}
	if digestDiffers(&d.key, &d.row) && d.key.Timestamp.Equal(d.row.Timestamp) {
		fields = append(fields, "digest")
	}
	position := x.position(&d.row)
	id := d.row.EventID.String()
	what := strings.Join(fields, ", ")
	if len(fields) == 0 {
		what = "content"
	}
	if position < x.run.heads[ledger.Events].proven {
		f := eventFinding(KeyAltered, id, "the event is what was signed; its row in event_keys is not: "+what).at(position)
		f.Fields = fields
		x.run.findings.add(f)
		return
	}
	f := eventFinding(EventAltered, id, fmt.Sprintf("it differs from its key in event_keys (%s), though its leaf hash fits: event and leaf were changed together, or the key was", what)).at(position)
	f.Fields = fields
	x.run.findings.add(f)
}

// position is where a row stands; -1 where its batch is not among those that were read, or has no such place.
func (x *explainer) position(row *store.EventRow) int64 {
	b, ok := x.keys.batches[row.Batch()]
	if !ok || int64(row.Index()) >= b.Count {
		return -1
	}
	return b.First + int64(row.Index())
}

// notCompared reports the batches of which something can't be read, neighbours together.
func (x *explainer) notCompared() {
	numbers := slices.SortedFunc(maps.Keys(x.keys.unread), func(a, b int64) int {
		return cmp.Compare(x.keys.batches[a].First, x.keys.batches[b].First)
	})
	for len(numbers) > 0 {
		why, b := x.keys.unread[numbers[0]], x.keys.batches[numbers[0]]
		first, end := b.First, b.End()
		for numbers = numbers[1:]; len(numbers) > 0; numbers = numbers[1:] {
			if b = x.keys.batches[numbers[0]]; b.First != end || x.keys.unread[numbers[0]] != why {
				break
			}
			end = b.End()
		}
		x.run.findings.add(Finding{Kind: why.kind, Log: ledger.Events, Detail: why.detail}.within(first, end))
	}
}
