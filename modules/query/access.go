package query

import (
	"bytes"
	"context"

	"audittrail/modules/access"
	"audittrail/modules/evidence"
	"audittrail/modules/httpapi"
	"audittrail/modules/ledger"
	"audittrail/modules/store"
	"audittrail/platform/auth"
)

// me is the principal whose entries a caller may read without access:read.
const me = "me"

// ListAccess answers the access log, or the caller's own entries.
func (h *Handlers) ListAccess(ctx context.Context, r httpapi.ListAccessRequestObject) (httpapi.ListAccessResponseObject, error) {
	p := r.Params
	filter := store.AccessFilter{
		Principal: textOf(p.Principal), Route: textOf(p.Route), Method: textOf(p.Method), CorrelationID: textOf(p.CorrelationId),
	}
	principal, _ := auth.PrincipalOf(ctx)
	if filter.Principal == me && access.IsOwnName(principal.Subject) {
		filter.Principal = principal.Subject
	} else if _, err := access.Require(ctx, access.AccessRead); err != nil {
		return nil, err
	}
	if p.Status != nil {
		filter.Status = int(*p.Status)
	}
	var err error
	if filter.From, filter.To, err = httpapi.Between(p.From, p.To); err != nil {
		return nil, err
	}
	found, err := h.reader.AccessEntries(ctx, filter, page(orderOf(p.Order, store.Descending), p.Limit, p.Cursor))
	if err != nil {
		return nil, err
	}
	return httpapi.AccessAnswer{Items: found.Items, NextCursor: found.Next}, nil
}

// GetAccessProof answers an entry's evidence against the latest checkpoint.
func (h *Handlers) GetAccessProof(ctx context.Context, r httpapi.GetAccessProofRequestObject) (httpapi.GetAccessProofResponseObject, error) {
	found, err := h.reader.AccessEntry(ctx, r.Position)
	if err != nil {
		return nil, err
	}
	rows, checkpoint, err := h.covering(ctx, ledger.Access, found.Position)
	if err != nil {
		return nil, err
	}
	prover, err := ledger.NewProver(rows, checkpoint.Size)
	if err != nil {
		return nil, h.faults.counted(err)
	}
	proofs, err := prover.Inclusion(ctx, found.Position)
	if err != nil {
		return nil, h.faults.counted(err)
	}
	if err := ledger.VerifyInclusion(ledger.LeafHash(found.Canonical), found.Position, checkpoint.Size, proofs[0], checkpoint.Root); err != nil {
		return nil, h.faults.counted(err)
	}
	var body bytes.Buffer
	bundle, err := evidence.NewBundleWriter(&body, ledger.Access, []byte(checkpoint.Note))
	if err != nil {
		return nil, err
	}
	if err := bundle.Entry(found.AppendJSON(nil), found.Position, proofs[0]); err != nil {
		return nil, err
	}
	return httpapi.AccessEvidence{Bundle: &body}, bundle.Close()
}
