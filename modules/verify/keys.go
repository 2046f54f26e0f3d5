package verify

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"audittrail/modules/event"
	"audittrail/modules/ledger"
	"audittrail/modules/store"
)

// blocksCompared bounds how many blocks are looked at key by key: a quarter of a million events.
const blocksCompared = 16

// keyFindings is what comparing keys with rows gave, of the blocks whose sums differ.
type keyFindings struct {
	complete bool                  // every block that differs was looked at
	orphans  map[int64][]store.Key // of a batch: keys without a row
	unlike   []keyDifference       // rows whose key says something else
	keyless  []store.EventRow      // rows without a key
	rest     []int64               // blocks that were not looked at
	first    map[int64]int64       // of the batches looked at: their first position
}

type keyDifference struct {
	row store.EventRow
	key store.Key
}

// compareKeys compares rows and keys one by one where their sums are not the same.
func (r *run) compareKeys(ctx context.Context, v *store.View) (*keyFindings, error) {
	k := &keyFindings{complete: true, orphans: map[int64][]store.Key{}, first: map[int64]int64{}}
	numbers := r.blocks.unlike()
	if len(numbers) == 0 {
		return k, nil
	}
	r.progress.phase("comparing events and their keys one by one")
	if len(numbers) > blocksCompared {
		k.complete, k.rest, numbers = false, numbers[blocksCompared:], numbers[:blocksCompared]
	}
	wanted := make(map[int64]bool, len(numbers))
	for _, n := range numbers {
		wanted[n] = true
	}
	var list []int64
	err := v.Batches(ctx, ledger.Events, func(b store.LedgerBatch) error {
		if wanted[b.First>>blockBits] {
			list = append(list, b.Batch)
			k.first[b.Batch] = b.First
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	slices.Sort(list)
	keys := map[event.ID]store.Key{}
	err = v.KeysOf(ctx, list, func(key *store.Key) error {
		keys[key.EventID] = *key
		return nil
	})
	if err != nil {
		return nil, err
	}
	if err := k.compareRows(ctx, v, list, keys); err != nil {
		return nil, err
	}
	for _, key := range keys {
		k.orphans[key.Batch] = append(k.orphans[key.Batch], key)
	}
	for _, orphans := range k.orphans {
		slices.SortFunc(orphans, func(a, b store.Key) int { return slices.Compare(a.EventID[:], b.EventID[:]) })
	}
	return k, k.findKeyless(ctx, v)
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
				k.keyless = append(k.keyless, *row)
			case key.Batch != row.Batch() || !key.Timestamp.Equal(row.Timestamp) || digestDiffers(&key, row):
				k.unlike = append(k.unlike, keyDifference{*row, key})
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
	err := v.KeysByID(ctx, ids, func(key *store.Key) error {
		k.unlike = append(k.unlike, keyDifference{rows[key.EventID], *key})
		delete(rows, key.EventID)
		return nil
	})
	k.keyless = slices.DeleteFunc(k.keyless, func(row store.EventRow) bool { _, still := rows[row.EventID]; return !still })
	return err
}

// digestDiffers: a digest that was erased, or is of a scheme that we can't compute, tells nothing.
func digestDiffers(key *store.Key, row *store.EventRow) bool {
	plain := len(key.Digest) > 0 && key.Digest[0] == event.SchemePlain
	erased := len(key.Digest) > 0 && key.Digest[0] == event.SchemeErased
	return !erased && (!plain || string(key.Digest) != string(row.Digest[:]))
}

// keyDifferences reports rows that give their leaf, but have another key or none, and keys that have no
// row and never had. What is signed tells which of row and key was changed.
func (x *explainer) keyDifferences() {
	suspects := map[int64]bool{}
	for i := range x.run.suspects {
		suspects[x.run.suspects[i].row.ID] = true
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
		for _, key := range x.keys.orphans[batch] {
			x.run.findings.add(eventFinding(KeyWithoutEvent, key.EventID.String(), "event_keys has it, but there is no such event, and none is missing in its batch"))
		}
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
