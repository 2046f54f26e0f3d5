package query

import (
	"context"
	"errors"
	"fmt"

	"audittrail/modules/httpapi"
	"audittrail/modules/ledger"
	"audittrail/modules/store"
	"audittrail/platform/errs"
	"audittrail/platform/httpserver"
)

// The ledger's paths. They tell hashes and sizes, never an entry: the leaves' salts keep anybody from
// confirming a guess.

// GetCheckpoint answers a log's latest checkpoint.
func (h *Handlers) GetCheckpoint(ctx context.Context, r httpapi.GetCheckpointRequestObject) (httpapi.GetCheckpointResponseObject, error) {
	latest, err := h.signed(ctx, ledger.Log(r.Log))
	if err != nil {
		return nil, err
	}
	etag := httpserver.ETag([]byte(latest.Note))
	if r.Params.IfNoneMatch != nil && httpserver.MatchesETag(*r.Params.IfNoneMatch, etag) {
		return httpapi.Unchanged{ETag: etag}, nil
	}
	return httpapi.SignedCheckpoint{Note: latest.Note, ETag: etag}, nil
}

// GetConsistency answers the proof between two sizes. Sizes that no checkpoint has are as good as others:
// what they prove follows from the checkpoint after them.
func (h *Handlers) GetConsistency(ctx context.Context, r httpapi.GetConsistencyRequestObject) (httpapi.GetConsistencyResponseObject, error) {
	from, to := r.Params.From, r.Params.To
	if from > to {
		return nil, invalid("from", "must not be greater than to")
	}
	latest, err := h.signed(ctx, ledger.Log(r.Log))
	if err != nil {
		return nil, err
	}
	if to > latest.Size {
		return nil, errUnsigned.InField("to")
	}
	head := ledger.Checkpoint{Size: latest.Size, Root: latest.Root}
	proof, err := ledger.ProveConsistency(ctx, h.reader.Ledger(ledger.Log(r.Log)), head, from, to)
	if err != nil {
		return nil, h.faults.counted(err)
	}
	answer := httpapi.Consistency{Body: append(proof.AppendJSON([]byte(`{"proof":`)), '}')}
	answer.ETag = httpserver.ETag(answer.Body)
	if r.Params.IfNoneMatch != nil && httpserver.MatchesETag(*r.Params.IfNoneMatch, answer.ETag) {
		return httpapi.Unchanged{ETag: answer.ETag}, nil
	}
	return answer, nil
}

// Tile answers a tile's hashes, up to what the latest checkpoint covers.
func (h *Handlers) Tile(ctx context.Context, log ledger.Log, id ledger.TileID, width int) ([]ledger.Hash, error) {
	latest, err := h.signed(ctx, log)
	if err != nil {
		return nil, err
	}
	if width > id.WidthAt(latest.Size) {
		return nil, errUnsigned
	}
	tile, err := ledger.ReadTile(ctx, h.reader.Ledger(log), id, width)
	return tile, h.faults.counted(err)
}

// signed is a log's latest checkpoint, whose row says what its note does. Of a log that was never signed there
// is nothing to see: such a path does not exist yet.
func (h *Handlers) signed(ctx context.Context, log ledger.Log) (store.Checkpoint, error) {
	latest, err := h.reader.Ledger(log).Checkpoint(ctx)
	if notYetSigned(err) {
		return store.Checkpoint{}, errUnsigned
	}
	if err != nil {
		return store.Checkpoint{}, err
	}
	says, err := ledger.SignedHead([]byte(latest.Note), log)
	if err == nil && (says.Size != latest.Size || says.Root != latest.Root) {
		err = &ledger.EvidenceError{Detail: fmt.Sprintf("of size %d is kept as one of size %d, or of another root", says.Size, latest.Size)}
	}
	return latest, h.faults.counted(err)
}

// notYetSigned says whether an error is that a log has no checkpoint.
func notYetSigned(err error) bool {
	var refused *errs.Error
	return errors.As(err, &refused) && refused.Code == store.NotYetSigned().Code
}

var errUnsigned = errs.New(errs.NotFound, "not_found", "nothing of this log has been signed up to there yet")
