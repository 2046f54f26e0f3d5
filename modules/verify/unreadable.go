package verify

import (
	"context"
	"errors"
	"fmt"

	"audittrail/modules/ledger"
	"audittrail/modules/store"
)

// What can't be read is a finding like any other, and must hide no other: where a statement fails on what
// it reads, it is tried again with less, down to single rows.

// unread turns what can't be read into a finding; any other error ends the verification.
func (r *run) unread(err error, f Finding) error {
	var bad *store.UnreadableError
	if !errors.As(err, &bad) {
		return err
	}
	f.Detail += ": " + bad.Reason()
	r.findings.add(f)
	return nil
}

// retries bounds how many statements are tried again with less: where everything fails, as after a
// column's type was changed, that would take for ever.
const retries = 2000

// failuresMost bounds how many of the smallest pieces may fail, each by itself: a row that PostgreSQL can't write
// out may take it a second.
const failuresMost = 200

func (r *run) mayRetry() bool { return r.retried.Add(1) <= retries }

// byPages reads pages in one go. Where that fails it reads their halves, and of single pages each line,
// and tells of the lines that fail. A page that can't be read at all is a finding of the kind.
func (r *run) byPages(ctx context.Context, v *store.View, p store.Pages, kind Kind, read func(store.Pages) error, fails func(store.Line, error)) error {
	err := read(p)
	var bad *store.UnreadableError
	if !errors.As(err, &bad) {
		return err
	}
	if r.mayRetry() {
		if first, second, ok := p.Halves(); ok {
			if err := r.byPages(ctx, v, first, kind, read, fails); err != nil {
				return err
			}
			return r.byPages(ctx, v, second, kind, read, fails)
		}
		lines, err := v.Lines(ctx, p)
		if err == nil {
			return r.byLines(p, lines, kind, read, fails)
		}
		if !errors.As(err, &bad) {
			return err
		}
	}
	r.blind.Store(true)
	r.findings.add(Finding{Kind: kind, Log: ledger.Events, Detail: p.Place() + " can't be read: " + bad.Reason()})
	return nil
}

// byLines reads the lines of a page one by one, until too many failed of all pages.
func (r *run) byLines(p store.Pages, lines []store.Line, kind Kind, read func(store.Pages) error, fails func(store.Line, error)) error {
	for i, line := range lines {
		if r.lost.Load() >= failuresMost {
			r.blind.Store(true)
			r.findings.add(Finding{Kind: kind, Log: ledger.Events, Detail: fmt.Sprintf(
				"%d lines of %s were not looked at: it can't be read in one go, and too many lines that can't be read were met for more to be tried one by one", len(lines)-i, p.Place())})
			return nil
		}
		err := read(line.Pages)
		var bad *store.UnreadableError
		switch {
		case errors.As(err, &bad):
			r.lost.Add(1)
			fails(line, bad)
		case err != nil:
			return err
		}
	}
	return nil
}

// batchLeaves is what is known of a batch: where its leaves can't be read, unread says so.
type batchLeaves struct {
	store.BatchLeaves
	unread bool
}

// batchLeaves reads slices of batches in one go, and where that fails in halves.
func (r *run) batchLeaves(ctx context.Context, v *store.View, wanted []store.BatchSlice) (list []batchLeaves, err error) {
	read, err := v.BatchLeaves(ctx, wanted)
	var bad *store.UnreadableError
	switch {
	case err == nil:
		for _, b := range read {
			list = append(list, batchLeaves{BatchLeaves: b})
		}
		return list, nil
	case !errors.As(err, &bad):
		return nil, err
	case len(wanted) > 1 && r.mayRetry():
		middle := len(wanted) / 2
		first, err := r.batchLeaves(ctx, v, wanted[:middle])
		if err != nil {
			return nil, err
		}
		second, err := r.batchLeaves(ctx, v, wanted[middle:])
		return append(first, second...), err
	}
	return r.withoutLeaves(ctx, v, wanted, bad)
}

// withoutLeaves reads what else is known of batches whose leaves can't be read.
func (r *run) withoutLeaves(ctx context.Context, v *store.View, wanted []store.BatchSlice, why *store.UnreadableError) (list []batchLeaves, err error) {
	places := make([]store.BatchSlice, len(wanted))
	for i, w := range wanted {
		places[i] = store.BatchSlice{Batch: w.Batch, Low: 0, High: -1}
		r.unreadBatch(w.Batch, why)
	}
	read, err := v.BatchLeaves(ctx, places)
	var bad *store.UnreadableError
	if errors.As(err, &bad) {
		return nil, nil
	}
	for _, b := range read {
		list = append(list, batchLeaves{BatchLeaves: b, unread: true})
	}
	return list, err
}

// unreadBatch reports a batch once.
func (r *run) unreadBatch(batch int64, why *store.UnreadableError) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.unreadBatches[batch] || len(r.unreadBatches) >= retries {
		return
	}
	r.unreadBatches[batch] = true
	r.findings.add(Finding{Kind: LedgerGap, Log: ledger.Events, Detail: "the leaf hashes of batch " + number(batch) + " can't be read, so its rows were compared with nothing: " + why.Reason()})
}
