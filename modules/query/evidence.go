package query

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"net/http"
	"strconv"
	"strings"

	"audittrail/modules/event"
	"audittrail/modules/evidence"
	"audittrail/modules/httpapi"
	"audittrail/modules/ledger"
	"audittrail/modules/store"
	"audittrail/platform/httpserver"
)

// GetEventProof answers an event's evidence against the latest checkpoint: a bundle, or the text of C2SP
// tlog-proof where the caller would rather have that.
func (h *Handlers) GetEventProof(ctx context.Context, r httpapi.GetEventProofRequestObject) (httpapi.GetEventProofResponseObject, error) {
	id, err := event.ParseID(r.EventId)
	if err != nil {
		return nil, invalid("eventId", "must be a UUID in its 36-character form").Because(err)
	}
	found, err := h.reader.Event(store.WithStoredForm(ctx), id)
	if err != nil {
		return nil, err
	}
	rows, checkpoint, err := h.covering(ctx, ledger.Events, found.Position)
	if err != nil {
		return nil, err
	}
	show(ctx, []event.Stored{found})
	text := prefersText(httpserver.ExchangeOf(ctx).Request)
	etag := evidenceTag(id, checkpoint, text)
	if r.Params.IfNoneMatch != nil && httpserver.MatchesETag(*r.Params.IfNoneMatch, etag) {
		return httpapi.Unchanged{ETag: etag}, nil
	}
	body, err := proven(ctx, rows, &found, checkpoint, text)
	if err != nil {
		return nil, h.faults.counted(err)
	}
	return httpapi.EventEvidence{Body: body, Text: text, ETag: etag}, nil
}

// covering returns a log and its latest checkpoint, which MUST cover the position: else it is an error to come back
// after.
func (h *Handlers) covering(ctx context.Context, log ledger.Log, position int64) (*store.LedgerReader, store.Checkpoint, error) {
	rows := h.reader.Ledger(log)
	checkpoint, err := rows.Checkpoint(ctx)
	if err == nil && position >= checkpoint.Size {
		err = store.NotYetSigned()
	}
	return rows, checkpoint, err
}

// proven returns the evidence of an event, and checks the proof before anybody gets it.
func proven(ctx context.Context, rows ledger.Reader, e *event.Stored, checkpoint store.Checkpoint, text bool) ([]byte, error) {
	signed := []byte(checkpoint.Note)
	prover, err := ledger.NewEventProver(rows, signed)
	if err != nil {
		return nil, err
	}
	proofs, err := prover.Prove(ctx, []event.Stored{*e})
	if err != nil {
		return nil, err
	}
	if text {
		return evidence.EventTextProof(e, proofs[0], signed).Append(nil), nil
	}
	var body bytes.Buffer
	bundle, err := evidence.NewBundleWriter(&body, ledger.Events, signed)
	if err != nil {
		return nil, err
	}
	if err := bundle.Event(e, proofs[0]); err != nil {
		return nil, err
	}
	if err := bundle.Close(); err != nil {
		return nil, err
	}
	return body.Bytes(), nil
}

// evidenceTag is the entity tag of evidence. What it is made of says all that is in it, so that a caller
// who has it already costs no proof.
func evidenceTag(id event.ID, checkpoint store.Checkpoint, text bool) string {
	b := append(id[:], strconv.FormatBool(text)...)
	sum := sha256.Sum256(append(b, checkpoint.Note...))
	return `"` + hex.EncodeToString(sum[:16]) + `"`
}

// prefersText says whether a request's Accept ranks text/plain above application/json (RFC 9110, section
// 12.5.1). Whoever takes neither gets JSON.
func prefersText(r *http.Request) bool {
	if r == nil {
		return false
	}
	accept := strings.Join(r.Header.Values("Accept"), ",")
	return httpapi.Quality(accept, "text", "plain") > httpapi.Quality(accept, "application", "json")
}
