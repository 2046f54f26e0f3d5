package verify

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"audittrail/modules/event"
	"audittrail/modules/ledger"
	"audittrail/modules/store"
)

// explainedMost bounds how many rows that do not fit are looked at one by one, of each list.
const explainedMost = 1000

// explain turns what the passes saw into findings.
func (r *run) explain(ctx context.Context, v *store.View) error {
	for _, list := range r.suspects.lists() {
		list.sort()
	}
	gone, err := r.findMissing(ctx, v)
	if err != nil {
		return err
	}
	keys, err := r.compareKeys(ctx, v)
	if err != nil {
		return err
	}
	leaves, err := r.tryRowsForLeaves(ctx, v)
	if err != nil {
		return err
	}
	x := newExplainer(r, v)
	x.gone, x.keys, x.leaves = gone, keys, leaves
	if err := x.rows(ctx); err != nil {
		return err
	}
	if err := r.lostPartitions(ctx, v); err != nil {
		return err
	}
	x.missing()
	x.keyDifferences()
	if err := r.findTwofold(ctx, v); err != nil {
		return err
	}
	r.explainRest()
	return nil
}

// explainRest reports what needs no look at the database.
func (r *run) explainRest() {
	for _, log := range ledger.Logs() {
		r.explainHead(log, r.heads[log])
	}
	if r.accounting == nil {
		return
	}
	for i := range r.accounting.Discrepancies {
		r.findings.add(accountingFinding(&r.accounting.Discrepancies[i]))
	}
	r.findings.count(Accounting, r.accounting.Unlisted)
}

// explainUnfinished reports what was seen until the verification had to end.
func (r *run) explainUnfinished() {
	for kind, list := range r.suspects.lists() {
		list.sort()
		for ; list.told < min(len(list.kept), explainedMost); list.told++ {
			s, is := &list.kept[list.told], kind
			if s.again {
				is = EventInserted
			}
			r.findings.add(unexplained(is, s))
		}
		r.findings.count(kind, list.count-int64(list.told))
	}
	r.explainRest()
}

func unexplained(kind Kind, s *suspect) Finding {
	return eventFinding(kind, s.row.EventID.String(), "its row does not fit; it could not be looked at more closely").at(s.position)
}

// explainer looks at single rows.
type explainer struct {
	run    *run
	view   *store.View
	gone   *missing
	keys   *keyFindings
	leaves map[int64]ledger.Hash // of rows that are right, and the leaves in ledger_batches are not

	byID       map[event.ID]store.Key // of the ids that suspects have
	unreadKeys map[event.ID]bool      // of these: those whose key can't be read
	claimed    map[int64][]store.Key  // byID, by the keys' batches
	batches    map[int64]*store.BatchLeaves
	ranges     map[int64][]store.StoredRange // of a batch

	identified map[event.ID]bool // of suspects, by their leaves
	later      []*suspect        // of which no guess told what they were
	nameless   map[int64]int     // of a batch: rows of which it is not known which event they were
	crowded    bool              // there are more suspects than were kept
}

func newExplainer(r *run, v *store.View) *explainer {
	return &explainer{run: r, view: v, claimed: map[int64][]store.Key{}, batches: map[int64]*store.BatchLeaves{},
		ranges: map[int64][]store.StoredRange{}, identified: map[event.ID]bool{}, nameless: map[int64]int{}}
}

// rows explains the rows that do not fit.
func (x *explainer) rows(ctx context.Context) error {
	err := x.suspects(ctx)
	if err == nil {
		err = x.unsolved(ctx)
	}
	for _, s := range x.later {
		x.run.findings.add(unexplained(EventAltered, s))
	}
	if err != nil {
		return err
	}
	for kind, list := range x.run.suspects.lists() {
		x.run.findings.count(kind, list.count-int64(list.told))
		list.count = int64(list.told)
	}
	return nil
}

// suspects explains each row by itself; those of which that does not tell enough it puts off.
func (x *explainer) suspects(ctx context.Context) error {
	if err := x.lookUp(ctx); err != nil {
		return err
	}
	placed := &x.run.suspects.placed
	x.crowded = placed.count > int64(len(placed.kept))
	for _, s := range placed.kept[min(len(placed.kept), explainedMost):] {
		x.nameless[s.row.Batch()]++
	}
	for _, list := range []*suspectList{placed, &x.run.suspects.placeless} {
		for list.told < min(len(list.kept), explainedMost) {
			s := &list.kept[list.told]
			f, ok, err := x.explainRow(ctx, s)
			if err != nil {
				return err
			}
			if list.told++; ok {
				x.run.findings.add(f)
			} else {
				x.later = append(x.later, s)
			}
		}
	}
	return nil
}

// lookUp reads the keys of the ids that suspects have.
func (x *explainer) lookUp(ctx context.Context) error {
	var ids []event.ID
	for _, list := range x.run.suspects.lists() {
		for i := range list.kept[:min(len(list.kept), explainedMost)] {
			ids = append(ids, list.kept[i].row.EventID)
		}
	}
	keys, err := x.run.keysByID(ctx, x.view, ids)
	x.byID, x.unreadKeys = keys.found, keys.unread
	for _, k := range x.byID {
		x.claimed[k.Batch] = append(x.claimed[k.Batch], k)
	}
	return err
}

// explainRow explains a row. ok is false where more can be told once all rows were looked at.
func (x *explainer) explainRow(ctx context.Context, s *suspect) (f Finding, ok bool, err error) {
	id := s.row.EventID.String()
	if s.again {
		return eventFinding(EventInserted, id, "a second row says the same as the event at this position").at(s.position), true, nil
	}
	if s.unreadable() {
		if _, known := x.byID[s.row.EventID]; !known {
			x.nameless[s.row.Batch()]++
		}
		return eventFinding(EventUnreadable, id, "its row holds what no event does: "+s.row.Corrupt.Error()).at(s.position), true, nil
	}
	from, moved, err := x.origin(ctx, s)
	switch {
	case err != nil:
		return Finding{}, false, err
	case moved:
		x.gone.found(from)
		place := "where the ledger has no position"
		if s.position >= 0 {
			place = fmt.Sprintf("at position %d", s.position)
		}
		return eventFinding(EventMoved, id, fmt.Sprintf("its row is as it was stored at this position, but stands %s now", place)).at(from), true, nil
	case s.position < 0:
		return eventFinding(EventInserted, id, x.why(s)), true, nil
	case x.run.blocks.fits(s.position):
		return eventFinding(EventInserted, id, "a row was put beside the event at this position").at(s.position), true, nil
	case x.leaves[s.position] == s.row.Leaf: // no leaf is all zeros
		return eventFinding(LeafAltered, id, "the row is what was signed; its leaf hash in ledger_batches was changed").at(s.position), true, nil
	}
	return x.altered(ctx, s)
}

// why says what is known of a row that the ledger has no place for.
func (x *explainer) why(s *suspect) string {
	if b, ok := x.batches[s.row.Batch()]; ok {
		if !b.Placed() {
			return "its batch has no positions: its row in ledger_batches is none that a batch has"
		}
		return "its batch never had so many events"
	}
	if k, ok := x.byID[s.row.EventID]; ok && k.Batch == s.row.Batch() {
		return "the ledger has no batch for it, though event_keys has one: the row was inserted, or the batch's row in ledger_batches was deleted"
	}
	return "the ledger has no place for its row"
}

// origin finds the position whose leaf the row gives: in the batch that its own id names, or in the one
// that event_keys does.
func (x *explainer) origin(ctx context.Context, s *suspect) (position int64, ok bool, err error) {
	batches := []int64{s.row.Batch()}
	if k, found := x.byID[s.row.EventID]; found && k.Batch != s.row.Batch() {
		batches = append(batches, k.Batch)
	}
	for _, number := range batches {
		b, err := x.batch(ctx, number)
		if err != nil {
			return 0, false, err
		}
		if b == nil || !b.Placed() {
			continue
		}
		if position, ok := indexOf(b, s.row.Leaf); ok {
			return position, true, nil
		}
	}
	return 0, false, nil
}

// passable lets what can't be read pass, where a row has its finding all the same.
func passable(err error) error {
	var bad *store.UnreadableError
	if errors.As(err, &bad) {
		return nil
	}
	return err
}

// batchesKept bounds how many batches' leaves are held, 512 KiB each at most.
const batchesKept = 16

// batch is a batch and all of its leaves; nil where the ledger has none of this number.
func (x *explainer) batch(ctx context.Context, number int64) (*store.BatchLeaves, error) {
	if b, ok := x.batches[number]; ok {
		return b, nil
	}
	b, ok, err := x.run.batchLeavesOf(ctx, x.view, number)
	if err != nil || !ok {
		return nil, err
	}
	if len(x.batches) >= batchesKept {
		clear(x.batches)
	}
	x.batches[number] = &b
	return &b, nil
}

// explainHead reports how a log differs from what was signed.
func (r *run) explainHead(log ledger.Log, h *head) {
	r.explainUnsigned(log, h)
	r.explainUnknown(log, h)
	r.explainForeign(log, h)
	var behind, altered int64
	for _, c := range h.wrong {
		name := "the checkpoint"
		if c.source != "" {
			name = "the checkpoint in " + c.source
		}
		switch {
		case c.size > h.total:
			if behind++; behind == 1 || c.source != "" {
				r.findings.add(Finding{Kind: LogRolledBack, Log: log, Detail: fmt.Sprintf(
					"%s signed %d entries, the log has %d: the last ones were deleted, or the database was put back to an earlier state%s", name, c.size, h.total, r.orBehind())}.within(h.total, c.size))
			}
		case c.size < h.proven:
			r.findings.add(Finding{Kind: CheckpointForked, Log: log, Detail: fmt.Sprintf(
				"%s of size %d was signed for another history, though one of size %d fits this one: the signing key signed two histories", name, c.size, h.proven)})
		default:
			if altered++; altered == 1 || c.source != "" {
				r.findings.add(Finding{Kind: LogAltered, Log: log, Detail: fmt.Sprintf(
					"%s signed at size %d is not the log as it stands: what lies at these positions was changed after it was signed", name, c.size)}.within(c.after, c.size))
			}
		}
	}
}

func accountingFinding(d *store.Discrepancy) Finding {
	var b strings.Builder
	fmt.Fprintf(&b, "%s: %s; expected %v, found %v", d.Check, d.Detail, d.Expected, d.Found)
	if d.Topic != "" && d.Partition != nil {
		fmt.Fprintf(&b, "; %s/%d", d.Topic, *d.Partition)
	}
	if d.From != nil && d.To != nil {
		fmt.Fprintf(&b, " offsets %d to %d", *d.From, *d.To-1)
	}
	if d.Batch != nil {
		fmt.Fprintf(&b, "; batch %d", *d.Batch)
	}
	f := Finding{Kind: Accounting, Log: ledger.Events, Detail: b.String()}
	if d.Position != nil {
		f = f.at(*d.Position)
	}
	return f
}
