package verify

import (
	"context"
	"errors"
	"slices"

	"audittrail/modules/event"
	"audittrail/modules/ledger"
	"audittrail/modules/store"
)

// comparedMost bounds how many rows and keys are compared one by one. Somebody may have given one batch
// millions of keys.
const comparedMost = 1 << 18

// keyFindings is what comparing keys with rows gave, of the blocks whose sums differ.
type keyFindings struct {
	orphans map[int64][]store.Key       // of a batch: keys without a row
	unlike  []keyDifference             // rows whose key says something else
	keyless []store.EventRow            // rows without a key
	more    map[Kind]int64              // of the last two: how many more there are than are kept
	rest    []int64                     // blocks that were not looked at, since too much differs; sorted
	batches map[int64]store.LedgerBatch // that were looked at
	unread  map[int64]unreadBatch       // of them: those of which something can't be read, so that nothing more is known
}

// unreadBatch is why the keys of a batch were not compared.
type unreadBatch struct {
	kind   Kind // of the finding
	detail string
}

func newKeyFindings() *keyFindings {
	return &keyFindings{orphans: map[int64][]store.Key{}, more: map[Kind]int64{}, batches: map[int64]store.LedgerBatch{}, unread: map[int64]unreadBatch{}}
}

// whole says whether all keys of a batch are known that have no row.
func (k *keyFindings) whole(b *store.LedgerBatch) bool {
	_, rest := slices.BinarySearch(k.rest, b.First>>blockBits)
	return !rest && !k.isUnread(b.Batch)
}

func (k *keyFindings) isUnread(batch int64) bool {
	_, unread := k.unread[batch]
	return unread
}

type keyDifference struct {
	row store.EventRow
	key store.Key
}

func (d *keyDifference) differs() bool {
	return d.key.Batch != d.row.Batch() || !d.key.Timestamp.Equal(d.row.Timestamp) || digestDiffers(&d.key, &d.row)
}

// digestDiffers: nothing of this version erases an event, so a digest that says so was changed, too.
func digestDiffers(key *store.Key, row *store.EventRow) bool {
	return string(key.Digest) != string(row.Digest[:])
}

// comparison compares rows and keys one by one.
type comparison struct {
	*keyFindings
	run  *run
	view *store.View
	keys map[event.ID]store.Key // that no row was met of

	walks, failed int
}

// walksMost bounds how often all keys are walked over for those of some batches: as often as it takes to find
// the one that can't be read among a hundred thousand, or two among fewer.
const walksMost = 40

// errTooMany ends a comparison for which there is more than an untouched store can have.
var errTooMany = errors.New("more rows and keys than were counted")

func tooMany(n int) error {
	if n > comparedMost {
		return errTooMany
	}
	return nil
}

// compareKeys compares rows and keys where their sums are not the same.
func (r *run) compareKeys(ctx context.Context, v *store.View) (*keyFindings, error) {
	few, rest := r.blocks.unlike(comparedMost)
	c := comparison{keyFindings: newKeyFindings(), run: r, view: v, keys: map[event.ID]store.Key{}}
	c.rest = rest
	if len(few) == 0 {
		return c.keyFindings, nil
	}
	r.progress.phase("comparing events and their keys one by one")
	err := c.compare(ctx, few)
	if errors.Is(err, errTooMany) {
		c.keyFindings = newKeyFindings()
		c.rest = slices.Sorted(slices.Values(append(few, rest...)))
		return c.keyFindings, nil
	}
	return c.keyFindings, err
}

// compare looks at the batches that begin in some blocks.
func (c *comparison) compare(ctx context.Context, numbers []int64) error {
	list, err := c.batchesOf(ctx, numbers)
	if err != nil {
		return err
	}
	if err := c.readKeys(ctx, list); err != nil {
		return err
	}
	list = slices.DeleteFunc(list, c.isUnread)
	for len(list) > 0 {
		n := 1 // batches without others between are read together
		for n < min(len(list), 256) && list[n] == list[n-1]+1 {
			n++
		}
		if err := c.compareRows(ctx, list[:n]); err != nil {
			return err
		}
		list = list[n:]
	}
	for _, key := range c.keys {
		if !c.isUnread(key.Batch) {
			c.orphans[key.Batch] = append(c.orphans[key.Batch], key)
		}
	}
	for _, orphans := range c.orphans {
		slices.SortFunc(orphans, func(a, b store.Key) int { return slices.Compare(a.EventID[:], b.EventID[:]) })
	}
	return c.findKeyless(ctx)
}

// batchesOf lists the batches that begin in some blocks, but for those with rows that are known to make a
// statement fail.
func (c *comparison) batchesOf(ctx context.Context, numbers []int64) (list []int64, err error) {
	wanted := make(map[int64]bool, len(numbers))
	for _, n := range numbers {
		wanted[n] = true
	}
	err = c.view.Batches(ctx, ledger.Events, func(b store.LedgerBatch) error {
		if b.Placed() && wanted[b.First>>blockBits] {
			c.batches[b.Batch] = b
		}
		return tooMany(len(c.batches))
	})
	if err := c.run.unread(err, Finding{Kind: LedgerGap, Log: ledger.Events, Detail: "the batches can't be read, so that events were not compared with their keys one by one"}); err != nil {
		return nil, err
	}
	for _, suspects := range c.run.suspects.lists() {
		for i := range suspects.kept {
			var bad *store.UnreadableError
			if s := &suspects.kept[i]; errors.As(s.row.Corrupt, &bad) {
				c.setAside(s.row.Batch(), EventUnreadable, "a row among these can't be read, so that the events of its batch were not compared with their keys one by one")
			}
		}
	}
	for number := range c.batches {
		if !c.isUnread(number) {
			list = append(list, number)
		}
	}
	slices.Sort(list)
	return list, nil
}

func (c *comparison) setAside(batch int64, kind Kind, detail string) {
	if _, ok := c.batches[batch]; ok {
		c.unread[batch] = unreadBatch{kind, detail}
	}
}

// readKeys reads the keys of batches, and where that fails of halves of them.
func (c *comparison) readKeys(ctx context.Context, batches []int64) error {
	if len(batches) == 0 {
		return nil
	}
	var part []store.Key
	c.walks++
	err := c.view.KeysOf(ctx, batches, func(key *store.Key) error {
		part = append(part, *key)
		return tooMany(len(c.keys) + len(part))
	})
	var bad *store.UnreadableError
	switch {
	case err == nil:
		for _, key := range part {
			c.keys[key.EventID] = key
		}
	case !errors.As(err, &bad):
		return err
	case len(batches) > 1 && c.walks < walksMost:
		middle := len(batches) / 2
		if err := c.readKeys(ctx, batches[:middle]); err != nil {
			return err
		}
		return c.readKeys(ctx, batches[middle:])
	default:
		for _, batch := range batches {
			c.setAside(batch, KeyAltered, "the keys of these events can't be read, so that they were not compared one by one: "+bad.Reason())
		}
	}
	return nil
}

// compareRows takes the keys out that have a row in one of some neighbouring batches, and where these can't be
// read in one of halves of them.
func (c *comparison) compareRows(ctx context.Context, batches []int64) error {
	part, met := newKeyFindings(), map[event.ID]bool{}
	err := c.view.RowsOf(ctx, batches[0], batches[len(batches)-1], func(row *store.EventRow) error {
		switch key, ok := c.keys[row.EventID]; {
		case !ok || met[row.EventID]:
			part.addKeyless(row)
		default:
			met[row.EventID] = true
			if d := (keyDifference{*row, key}); d.differs() {
				part.addUnlike(d)
			}
		}
		return nil
	})
	var bad *store.UnreadableError
	switch {
	case err == nil:
		c.add(part, met)
	case !errors.As(err, &bad):
		return err
	default:
		if c.failed++; len(batches) > 1 && c.failed < failuresMost {
			middle := len(batches) / 2
			if err := c.compareRows(ctx, batches[:middle]); err != nil {
				return err
			}
			return c.compareRows(ctx, batches[middle:])
		}
		for _, batch := range batches {
			c.setAside(batch, EventUnreadable, "these rows can't be read by their batch, so that they were not compared with their keys one by one: "+bad.Reason())
		}
	}
	return nil
}

// add takes over what comparing some batches gave.
func (c *comparison) add(part *keyFindings, met map[event.ID]bool) {
	for id := range met {
		delete(c.keys, id)
	}
	for i := range part.keyless {
		c.addKeyless(&part.keyless[i])
	}
	for _, d := range part.unlike {
		c.addUnlike(d)
	}
	for kind, n := range part.more {
		c.more[kind] += n
	}
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
func (c *comparison) findKeyless(ctx context.Context) error {
	ids := make([]event.ID, len(c.keyless))
	for i := range c.keyless {
		ids[i] = c.keyless[i].EventID
	}
	keys, err := c.run.keysByID(ctx, c.view, ids)
	if err != nil {
		return err
	}
	c.keyless = slices.DeleteFunc(c.keyless, func(row store.EventRow) bool {
		key, known := keys.found[row.EventID]
		if d := (keyDifference{row, key}); known && d.differs() {
			c.addUnlike(d)
		} // else a row that pretends to be this event was met first
		return known || keys.unread[row.EventID]
	})
	return nil
}

// foundKeys are keys, and the ids of those that can't be read.
type foundKeys struct {
	found  map[event.ID]store.Key
	unread map[event.ID]bool
}

// keysByID reads the keys of event ids, and where that fails of halves of them.
func (r *run) keysByID(ctx context.Context, v *store.View, ids []event.ID) (foundKeys, error) {
	keys := foundKeys{map[event.ID]store.Key{}, map[event.ID]bool{}}
	var read func([]event.ID) error
	read = func(ids []event.ID) error {
		if len(ids) == 0 {
			return nil
		}
		err := v.KeysByID(ctx, ids, func(k *store.Key) error {
			keys.found[k.EventID] = *k
			return nil
		})
		var bad *store.UnreadableError
		switch {
		case !errors.As(err, &bad):
			return err
		case len(ids) > 1 && r.mayRetry():
			middle := len(ids) / 2
			if err := read(ids[:middle]); err != nil {
				return err
			}
			return read(ids[middle:])
		}
		for _, id := range ids {
			_, known := keys.found[id]
			keys.unread[id] = !known
		}
		return nil
	}
	return keys, read(ids)
}
