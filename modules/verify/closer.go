package verify

import (
	"bytes"
	"context"
	"maps"
	"slices"
	"sync"

	"audittrail/modules/event"
	"audittrail/modules/ledger"
	"audittrail/modules/store/audit"
)

// comparedMost bounds how many rows and keys are compared one by one. Somebody may have given one batch
// millions of keys.
const comparedMost = 1 << 18

// closer examines the blocks whose sums differ. It compares leaves with rows and rows with keys, one by one.
// Workers read rows and keys for it.
type closer struct {
	run     *run
	mu      sync.Mutex
	batches map[int64]audit.LedgerBatch
	keyed   map[int64]bool        // batches whose rows and keys differ
	leaves  map[int64]ledger.Hash // by position, where leaves and rows differ
	done    map[int64]bool        // positions whose leaf a row gives, or that have a finding
	misfits []audit.EventRow      // rows that do not give the leaf of their position, or give it again
	keys    map[event.ID]*metKey  // keys of keyed batches
}

type metKey struct {
	audit.Key
	met bool // a row of its batch has its event id, or its event has a finding
}

// lookCloser finds out which events the sums differ about.
func (r *run) lookCloser(ctx context.Context) error {
	c := &closer{run: r, batches: map[int64]audit.LedgerBatch{}, keyed: map[int64]bool{}, leaves: map[int64]ledger.Hash{},
		done: map[int64]bool{}, keys: map[event.ID]*metKey{}}
	leaves, moreLeaves := r.blocks.differing(comparedMost, (*block).leavesDiffer)
	keys, moreKeys := r.blocks.differing(comparedMost, (*block).keysDiffer)
	if r.blindKeys.Load() {
		keys, moreKeys = nil, nil
	}
	if len(leaves)+len(keys) > 0 {
		if err := c.read(ctx, leaves, keys); err != nil {
			return err
		}
	}
	c.name()
	r.looked = true
	r.reportBlocks(moreLeaves, moreKeys)
	return nil
}

// read reads everything in blocks that differ: leaves by position, as the root was computed, then the pages
// with keys and rows. What can't be read has its finding from the first pass.
func (c *closer) read(ctx context.Context, leaves, keys []int64) error {
	r, v := c.run, c.run.snapshot.Views()[0]
	for _, number := range leaves {
		err := v.Leaves(ctx, ledger.Events, number<<blockBits, (number+1)<<blockBits, func(position int64, list []ledger.Hash) error {
			for i, leaf := range list {
				c.leaves[position+int64(i)] = leaf
			}
			return nil
		})
		if err := passable(err); err != nil {
			return err
		}
	}
	err := v.Batches(ctx, ledger.Events, func(b audit.LedgerBatch) error {
		if !b.Placed() {
			return nil
		}
		_, wanted := slices.BinarySearch(keys, b.First>>blockBits)
		if wanted {
			c.keyed[b.Batch] = true
		}
		for block := b.First >> blockBits; !wanted && block<<blockBits < b.End(); block++ {
			_, wanted = slices.BinarySearch(leaves, block)
		}
		if wanted {
			c.batches[b.Batch] = b
		}
		return nil
	})
	if err := passable(err); err != nil {
		return err
	}
	batches := slices.Sorted(maps.Keys(c.batches))
	if err := r.work(ctx, tasksFor(r.keyPages, batches, c.readKeys)); err != nil {
		return err
	}
	return r.work(ctx, tasksFor(r.rowPages, batches, c.readRows))
}

// tasksFor returns tasks that read those pages that may hold rows of the batches, which are sorted.
func tasksFor(all []*pages, batches []int64, read func(context.Context, *audit.View, *pages) error) (list []task) {
	for _, p := range all {
		if i, _ := slices.BinarySearch(batches, p.low); i < len(batches) && batches[i] <= p.high {
			list = append(list, func(ctx context.Context, v *audit.View) error { return read(ctx, v, p) })
		}
	}
	return list
}

func (c *closer) readKeys(ctx context.Context, v *audit.View, p *pages) error {
	return passable(v.Keys(ctx, p.But(p.bad), func(k *audit.Key) error {
		c.mu.Lock()
		defer c.mu.Unlock()
		if c.keyed[k.Batch] && c.keys[k.EventID] != nil {
			c.run.findings.add(eventFinding(KeyWithoutEvent, k.EventID.String(), "event_keys has it more than once"))
		} else if c.keyed[k.Batch] {
			c.keys[k.EventID] = &metKey{Key: *k}
		}
		return nil
	}))
}

func (c *closer) readRows(ctx context.Context, v *audit.View, p *pages) error {
	rows, err := c.run.readRows(ctx, v, p)
	c.mu.Lock()
	defer c.mu.Unlock()
	for i := range rows {
		c.compare(&rows[i])
	}
	return err
}

// compare compares a row with its leaf, and with its key if the leaf fits.
func (c *closer) compare(row *audit.EventRow) {
	b, known := c.batches[row.Batch()]
	position, placed := positionOf(b, row, known)
	if !placed {
		return
	}
	key := c.keyOf(row, b.Batch)
	if key != nil {
		key.met = true
	}
	leaf, compared := c.leaves[position]
	if row.Corrupt != nil || compared && (leaf != row.Leaf || c.done[position]) {
		c.misfits = append(c.misfits, *row)
		return
	}
	if compared {
		c.done[position] = true
	} else if c.run.blocks.list[position>>blockBits].leavesDiffer() {
		return // its leaf could not be read
	}
	id := row.EventID.String()
	switch {
	case !c.keyed[b.Batch] || c.run.unreadKeys[row.EventID]:
	case c.keys[row.EventID] == nil:
		c.run.findings.add(eventFinding(KeyMissing, id, "event_keys does not have it in its batch, so it could be stored a second time").at(position))
	case key != nil && key.Timestamp.Equal(row.Timestamp) && bytes.Equal(key.Digest, row.Digest[:]):
	case position < c.run.extents[ledger.Events].proven:
		c.keys[row.EventID].met = true
		c.run.findings.add(eventFinding(KeyAltered, id, "the event is what was signed; its row in event_keys is not").at(position))
	default:
		c.keys[row.EventID].met = true
		c.run.findings.add(eventFinding(EventAltered, id, "it differs from its key in event_keys, though its leaf hash fits: event and leaf were changed together, or the key was").at(position))
	}
}

// keyOf returns the key of a row's event in a batch, or nil if there is none.
func (c *closer) keyOf(row *audit.EventRow, batch int64) *metKey {
	if key := c.keys[row.EventID]; key != nil && key.Batch == batch {
		return key
	}
	return nil
}

// reportBlocks reports blocks that differ, without naming events.
func (r *run) reportBlocks(leaves, keys []int64) {
	const tooMany = "; too many differ for each to be named"
	for _, number := range leaves {
		kind, n := EventAltered, r.blocks.list[number].leaves.count-r.blocks.list[number].rows.count
		if n > 0 {
			kind = EventRemoved
		} else if n < 0 {
			kind, n = EventInserted, -n
		}
		r.findings.add(blockFinding(kind, number, "rows do not give the leaf hashes of these positions"+tooMany))
		r.findings.count(kind, n-1)
	}
	for _, number := range keys {
		r.findings.add(blockFinding(KeyAltered, number, "events and their keys do not agree at these positions"+tooMany))
	}
}

func blockFinding(kind Kind, number int64, detail string) Finding {
	return Finding{Kind: kind, Log: ledger.Events, Detail: detail}.within(number<<blockBits, (number+1)<<blockBits)
}

// reportUnexamined reports what differs when the verification ended before lookCloser.
func (r *run) reportUnexamined() {
	if r.scanned {
		leaves, _ := r.blocks.differing(0, (*block).leavesDiffer)
		keys, _ := r.blocks.differing(0, (*block).keysDiffer)
		r.reportBlocks(leaves, keys)
	}
	for i := range r.loose {
		r.findings.add(inserted(&r.loose[i]))
	}
	r.countLoose()
}

// countLoose counts the rows without a position that were not kept.
func (r *run) countLoose() { r.findings.count(EventInserted, r.looseCount-int64(len(r.loose))) }
