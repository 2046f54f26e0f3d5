package verify

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"audittrail/modules/event"
	"audittrail/modules/ledger"
	"audittrail/modules/store"
)

// comparedMost bounds how many rows and keys are compared one by one. Somebody may have given one batch
// millions of keys.
const comparedMost = 1 << 18

// keyFindings is what comparing keys with rows gave, of the blocks whose sums differ.
type keyFindings struct {
	complete bool                  // every block that differs was looked at
	orphans  map[int64][]store.Key // of a batch: keys without a row
	unlike   []keyDifference       // rows whose key says something else
	keyless  []store.EventRow      // rows without a key
	more     map[Kind]int64        // of the last two: how many more there are than are kept
	rest     []int64               // blocks that were not looked at
	first    map[int64]int64       // of the batches looked at: their first position
}

type keyDifference struct {
	row store.EventRow
	key store.Key
}

func (d *keyDifference) differs() bool {
	return d.key.Batch != d.row.Batch() || !d.key.Timestamp.Equal(d.row.Timestamp) || digestDiffers(&d.key, &d.row)
}

func newKeyFindings() *keyFindings {
	return &keyFindings{complete: true, orphans: map[int64][]store.Key{}, more: map[Kind]int64{}, first: map[int64]int64{}}
}

// errTooMany ends a comparison for which there is more than an untouched store can have.
var errTooMany = errors.New("more rows and keys than were counted")

// compareKeys compares rows and keys one by one where their sums are not the same.
func (r *run) compareKeys(ctx context.Context, v *store.View) (*keyFindings, error) {
	few, rest := r.blocks.unlike(comparedMost)
	k := newKeyFindings()
	k.rest, k.complete = rest, len(rest) == 0
	if len(few) == 0 {
		return k, nil
	}
	r.progress.phase("comparing events and their keys one by one")
	err := k.compare(ctx, v, few)
	var bad *store.UnreadableError
	if errors.As(err, &bad) || errors.Is(err, errTooMany) {
		k = newKeyFindings()
		k.rest, k.complete = append(few, rest...), false
		return k, nil
	}
	return k, err
}

// compare looks at the batches that begin in some blocks.
func (k *keyFindings) compare(ctx context.Context, v *store.View, numbers []int64) error {
	wanted := make(map[int64]bool, len(numbers))
	for _, n := range numbers {
		wanted[n] = true
	}
	var list []int64
	err := v.Batches(ctx, ledger.Events, func(b store.LedgerBatch) error {
		if b.Placed() && wanted[b.First>>blockBits] {
			list = append(list, b.Batch)
			k.first[b.Batch] = b.First
		}
		return tooMany(len(list))
	})
	if err != nil {
		return err
	}
	slices.Sort(list)
	list = slices.Compact(list)
	keys := map[event.ID]store.Key{}
	err = v.KeysOf(ctx, list, func(key *store.Key) error {
		keys[key.EventID] = *key
		return tooMany(len(keys))
	})
	if err != nil {
		return err
	}
	if err := k.compareRows(ctx, v, list, keys); err != nil {
		return err
	}
	for _, key := range keys {
		k.orphans[key.Batch] = append(k.orphans[key.Batch], key)
	}
	for _, orphans := range k.orphans {
		slices.SortFunc(orphans, func(a, b store.Key) int { return slices.Compare(a.EventID[:], b.EventID[:]) })
	}
	return k.findKeyless(ctx, v)
}

func tooMany(n int) error {
	if n > comparedMost {
		return errTooMany
	}
	return nil
}

// compareRows takes the keys out that have a row.
func (k *keyFindings) compareRows(ctx context.Context, v *store.View, batches []int64, keys map[event.ID]store.Key) error {
	for from := 0; from < len(batches); {
		to := from + 1 // batches without others between are read together
		for to < len(batches) && batches[to] == batches[to-1]+1 && to-from < 256 {
			to++
		}
		err := v.RowsOf(ctx, batches[from], batches[to-1], func(row *store.EventRow) error {
			key, ok := keys[row.EventID]
			switch {
			case !ok:
				k.addKeyless(row)
			default:
				if d := (keyDifference{*row, key}); d.differs() {
					k.addUnlike(d)
				}
			}
			delete(keys, row.EventID)
			return nil
		})
		if err != nil {
			return err
		}
		from = to
	}
	return nil
}

func (k *keyFindings) addKeyless(row *store.EventRow) {
	if len(k.keyless) < suspectsKept {
		k.keyless = append(k.keyless, *row)
	} else {
		k.more[KeyMissing]++
	}
}

func (k *keyFindings) addUnlike(d keyDifference) {
	if len(k.unlike) < suspectsKept {
		k.unlike = append(k.unlike, d)
	} else {
		k.more[KeyAltered]++
	}
}

// findKeyless looks for the keys of rows under other batches.
func (k *keyFindings) findKeyless(ctx context.Context, v *store.View) error {
	if len(k.keyless) == 0 {
		return nil
	}
	rows := map[event.ID]store.EventRow{}
	ids := make([]event.ID, len(k.keyless))
	for i, row := range k.keyless {
		rows[row.EventID], ids[i] = row, row.EventID
	}
	elsewhere := map[event.ID]bool{}
	err := v.KeysByID(ctx, ids, func(key *store.Key) error {
		if d := (keyDifference{rows[key.EventID], *key}); d.differs() {
			k.addUnlike(d)
		} // else a row that pretends to be this event was met first
		elsewhere[key.EventID] = true
		return nil
	})
	k.keyless = slices.DeleteFunc(k.keyless, func(row store.EventRow) bool { return elsewhere[row.EventID] })
	return err
}

// digestDiffers: nothing of this version erases an event, so a digest that says so was changed, too.
func digestDiffers(key *store.Key, row *store.EventRow) bool {
	return string(key.Digest) != string(row.Digest[:])
}

// keyDifferences reports rows that give their leaf, but have another key or none, and keys that have no
// row and never had. What is signed tells which of row and key was changed.
func (x *explainer) keyDifferences() {
	suspects := map[int64]bool{}
	for _, list := range x.run.suspects.lists() {
		for i := range list.kept {
			suspects[list.kept[i].row.ID] = true
		}
	}
	for _, d := range x.keys.unlike {
		if !suspects[d.row.ID] {
			x.keyDifference(&d)
		}
	}
	for _, row := range x.keys.keyless {
		if !suspects[row.ID] {
			x.run.findings.add(eventFinding(KeyMissing, row.EventID.String(), "event_keys does not have it, so that it could be stored a second time").at(x.position(&row)))
		}
	}
	for _, batch := range slices.Sorted(maps.Keys(x.keys.orphans)) {
		why := "event_keys has it, but there is no such event, and none is missing in its batch"
		if x.mayHide(batch, 0) || x.gone.lack(batch) {
			why = "event_keys has it, but there is no such event: it was removed, or its event id was changed, or the key was added"
		}
		for _, key := range x.keys.orphans[batch] {
			x.run.findings.add(eventFinding(KeyWithoutEvent, key.EventID.String(), why))
		}
	}
	for kind, n := range x.keys.more {
		x.run.findings.count(kind, n)
	}
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

// position is where a row stands; -1 where its batch is not among those that were read.
func (x *explainer) position(row *store.EventRow) int64 {
	first, ok := x.keys.first[row.Batch()]
	if !ok {
		return -1
	}
	return first + int64(row.Index())
}
