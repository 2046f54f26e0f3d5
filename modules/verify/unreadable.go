package verify

import (
	"context"
	"errors"
	"fmt"

	"audittrail/modules/ledger"
	"audittrail/modules/store/audit"
)

// What can't be read is a finding like any other, and must not hide another one. If pages can't be read,
// their rows are tried one by one, until too many have failed.

// failuresMost bounds how many rows are tried in vain, of the whole store: a row that PostgreSQL can't write
// out may take it a second.
const failuresMost = 200

// unread turns what can't be read into a finding; any other error ends the verification.
func (r *run) unread(err error, f Finding) error {
	var bad *audit.UnreadableError
	if !errors.As(err, &bad) {
		return err
	}
	f.Detail += ": " + bad.Reason()
	r.findings.add(f)
	return nil
}

// passable lets what can't be read pass, for what has its finding elsewhere.
func passable(err error) error {
	var bad *audit.UnreadableError
	if errors.As(err, &bad) {
		return nil
	}
	return err
}

// pages is a piece of work: a run of pages of one table.
type pages struct {
	audit.Pages
	bad       []audit.Line // rows that can't be read
	low, high int64        // batches that its rows are of, from low to high
}

// readable calls read for pages until it can read them: rows that can't be read are put aside. What is not
// looked at is a finding of the kind.
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
		bad := read(line.Pages)
		if passable(bad) != nil {
			return bad
		}
		if bad != nil {
			r.failed.Add(1)
			line.Why = bad
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
