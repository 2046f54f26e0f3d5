package verify

import (
	"context"
	"errors"

	"audittrail/modules/ledger"
	"audittrail/modules/store/audit"
)

// What can't be read is a finding like any other, and must not hide another one. If pages can't be read,
// their rows are read one by one, until too many have failed.

// failuresMost bounds how many rows of the whole store may fail before rows are no longer read one by one:
// PostgreSQL may take a second for a row that it can't write out.
const failuresMost = 200

// unread reports what can't be read as a finding. It returns any other error, which ends the verification.
func (r *run) unread(err error, f Finding) error {
	var bad *audit.UnreadableError
	if !errors.As(err, &bad) {
		return err
	}
	f.Detail += ": " + bad.Reason()
	r.findings.add(f)
	return nil
}

// passable returns err, or nil if it only says that something can't be read, which is reported elsewhere.
func passable(err error) error {
	var bad *audit.UnreadableError
	if errors.As(err, &bad) {
		return nil
	}
	return err
}

// pages is a run of pages of one table.
type pages struct {
	audit.Pages
	low, high int64 // the lowest and the highest batch of its rows
	tried     int   // how many rows were read one by one, after the pages could not be read
}

// cover notes that the pages have a row of a batch.
func (p *pages) cover(batch int64) {
	if p.high == 0 || batch < p.low {
		p.low = batch
	}
	p.high = max(p.high, batch)
}

// readRows returns the rows of pages, hashed.
func (r *run) readRows(ctx context.Context, v *audit.View, p *pages) ([]audit.Row, error) {
	return readPages(ctx, r, v, p, v.Rows, func(line audit.Line, why error) audit.Row {
		return audit.Row{ID: line.ID, EventID: line.EventID, Corrupt: why}
	})
}

// readKeys returns the keys of pages.
func (r *run) readKeys(ctx context.Context, v *audit.View, p *pages) ([]audit.Key, error) {
	return readPages(ctx, r, v, p, v.Keys, func(line audit.Line, why error) audit.Key {
		return audit.Key{EventID: line.EventID, Corrupt: why}
	})
}

// readPages returns the rows of pages. Those that can't be read are among them, as corrupt ones. If too many fail, the
// rest is left out, which is a finding. It returns the same rows when it is called again.
func readPages[T any](ctx context.Context, r *run, v *audit.View, p *pages, read func(context.Context, audit.Pages) ([]T, error), corrupt func(audit.Line, error) T) ([]T, error) {
	list, err := read(ctx, p.Pages)
	if err == nil || passable(err) != nil {
		return list, err
	}
	lines, unlisted := v.Lines(ctx, p.Pages)
	if passable(unlisted) != nil {
		return nil, unlisted
	}
	list = nil
	for i, line := range lines {
		if !r.scanned && r.failed.Load() >= failuresMost || r.scanned && i >= p.tried {
			break
		}
		one, why := read(ctx, line.Pages)
		if passable(why) != nil {
			return nil, why
		}
		if why != nil {
			r.failed.Add(1)
			one = []T{corrupt(line, why)}
		}
		list = append(list, one...)
		p.tried = max(p.tried, i+1)
	}
	if r.scanned || unlisted == nil && p.tried == len(lines) {
		return list, nil
	}
	f := Finding{Kind: EventUnreadable, Log: p.Log, Detail: p.String() + " can't be read, and too many rows there for each to be named"}
	if p.Log == "" {
		f.Kind, f.Log = KeyAltered, ledger.Events
		r.blindKeys.Store(true)
	} else {
		r.blind.Store(true)
	}
	return list, r.unread(err, f)
}
