package verify

import (
	"context"
	"errors"
	"fmt"

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
	bad       []audit.Line // rows that can't be read
	low, high int64        // the lowest and the highest batch of its rows
}

// readable calls read for pages, and again without the rows that can't be read, which it adds to p.bad. Rows
// that were not read at all are a finding of the kind.
func (r *run) readable(ctx context.Context, v *audit.View, p *pages, kind Kind, read func(audit.Pages) error) error {
	err := read(p.But(p.bad))
	if err == nil || passable(err) != nil {
		return err
	}
	lines, unread := v.Lines(ctx, p.Pages)
	if passable(unread) != nil {
		return unread
	}
	for _, line := range lines {
		if r.failed.Load() >= failuresMost {
			break
		}
		if line.Why = read(line.Pages); passable(line.Why) != nil {
			return line.Why
		}
		if line.Why != nil {
			r.failed.Add(1)
			p.bad = append(p.bad, line)
		}
	}
	if err = read(p.But(p.bad)); err == nil {
		return nil
	}
	if kind == KeyAltered {
		r.blindKeys.Store(true)
	} else {
		r.blind.Store(true)
	}
	return r.unread(err, Finding{Kind: kind, Log: ledger.Events, Detail: fmt.Sprintf("%s can't be read, and too many rows there for each to be named", p.Place())})
}
