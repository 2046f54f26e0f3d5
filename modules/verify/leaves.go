package verify

import (
	"context"

	"audittrail/modules/event"
	"audittrail/modules/ledger"
	"audittrail/modules/store"
)

// A row that does not give its leaf may be what was signed all the same, and its leaf hash was changed. The
// signed roots tell: with the leaf that the row gives, more of them fit.

// tryRowsForLeaves answers the leaves of such rows, by position.
//
// All rows up to a signed size have to be right for its root to fit. So those that agree with their keys are
// tried alone at first, since one that does not was rather altered itself; and then all, since a key may have
// been changed, too.
func (r *run) tryRowsForLeaves(ctx context.Context, v *store.View) (right map[int64]ledger.Hash, err error) {
	h := r.heads[ledger.Events]
	placed := &r.suspects.placed
	if h.wrongCount == 0 || int64(len(placed.kept)) < placed.count {
		return nil, nil
	}
	var tried []*suspect
	for i := range placed.kept {
		if s := &placed.kept[i]; s.position >= h.proven && !s.unreadable() && !s.again {
			tried = append(tried, s)
		}
	}
	agreeing, err := r.agreeing(ctx, v, tried)
	if err != nil {
		return nil, err
	}
	r.progress.phase("trying the rows in place of their leaf hashes")
	right, err = r.tryLeaves(ctx, v, agreeing)
	if err != nil || len(right) > 0 || len(agreeing) == len(tried) {
		return right, err
	}
	return r.tryLeaves(ctx, v, tried)
}

// agreeing are the suspects that say the same as their keys.
func (r *run) agreeing(ctx context.Context, v *store.View, suspects []*suspect) (list []*suspect, err error) {
	ids := make([]event.ID, len(suspects))
	for i, s := range suspects {
		ids[i] = s.row.EventID
	}
	keys, err := r.keysByID(ctx, v, ids)
	for _, s := range suspects {
		key, known := keys.found[s.row.EventID]
		if d := (keyDifference{s.row, key}); known && !d.differs() {
			list = append(list, s)
		}
	}
	return list, err
}

// tryLeaves walks over the log with the leaves of some rows in place of those that it has, and answers as many of
// them as make more of it what was signed.
func (r *run) tryLeaves(ctx context.Context, v *store.View, rows []*suspect) (right map[int64]ledger.Hash, err error) {
	if len(rows) == 0 {
		return nil, nil
	}
	instead := map[int64]ledger.Hash{}
	for _, s := range rows {
		instead[s.position] = s.row.Leaf
	}
	tried := newHead()
	if err := r.walk(ctx, v, ledger.Events, tried, instead); err != nil {
		return nil, err
	}
	right = map[int64]ledger.Hash{}
	for position, leaf := range instead {
		if position < tried.proven {
			right[position] = leaf
		}
	}
	return right, nil
}
