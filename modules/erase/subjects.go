package erase

import (
	"context"
	"time"

	"audittrail/modules/event"
	"audittrail/modules/httpapi"
	"audittrail/modules/protect"
	"audittrail/modules/store"
	"audittrail/platform/auth"
	"audittrail/platform/errs"
	"audittrail/platform/httpserver"
)

// Subjects is the handler set of erasures.
type Subjects struct {
	requester *Requester // nil where nothing is sealed
	shreds    *store.Shreds
}

// NewSubjects makes the handlers. requester is nil where nothing is sealed; shreds is on a pool of the role
// audittrail_api.
func NewSubjects(requester *Requester, shreds *store.Shreds) *Subjects {
	return &Subjects{requester, shreds}
}

var errOff = errs.New(errs.Conflict, "encryption_off", "encryption.kek_url is not given, so no value is sealed and nobody can be erased")

// ShredSubject requests an erasure, or says what it would reach.
func (h *Subjects) ShredSubject(ctx context.Context, r httpapi.ShredSubjectRequestObject) (httpapi.ShredSubjectResponseObject, error) {
	if h.requester == nil {
		return nil, errOff
	}
	principal, _ := auth.PrincipalOf(ctx)
	x := httpserver.ExchangeOf(ctx)
	asked := Asked{
		Subject: r.Body.Subject, Reason: r.Body.Reason, Principal: principal.Subject, Roles: x.Roles,
		CorrelationID: x.CorrelationID, RemoteAddr: x.RemoteAddr,
	}
	if r.Body.DryRun != nil && *r.Body.DryRun {
		p, err := h.requester.Preview(ctx, asked)
		if err != nil {
			return nil, err
		}
		httpserver.ShowSubject(ctx, p.Hash.String())
		return httpapi.ShredSubject200JSONResponse{Body: PreviewReport(p)}, nil
	}
	id, p, err := h.requester.Request(ctx, asked)
	if p.Hash != (protect.SubjectHash{}) {
		httpserver.ShowSubject(ctx, p.Hash.String())
	}
	if err != nil {
		return nil, err
	}
	return httpapi.ShredSubject202JSONResponse{Body: httpapi.ShredAccepted{Id: id.String(), State: string(store.ShredRequested)}}, nil
}

// GetShred answers how far an erasure has come.
func (h *Subjects) GetShred(ctx context.Context, r httpapi.GetShredRequestObject) (httpapi.GetShredResponseObject, error) {
	id, err := event.ParseID(r.Id)
	if err != nil {
		return nil, errs.New(errs.Invalid, "invalid_parameter", "must be a UUID in its 36-character form").InField("id").Because(err)
	}
	shred, err := h.shreds.Get(ctx, id)
	if err != nil {
		return nil, err
	}
	httpserver.ShowSubject(ctx, shred.Subject.String())
	answer, err := Report(shred)
	return httpapi.GetShred200JSONResponse{Body: answer}, err
}

// PreviewReport is a preview as the API and the command show it.
func PreviewReport(p Preview) httpapi.ShredPreview {
	return httpapi.ShredPreview{
		Subject: p.Hash.String(), KeySince: optional(p.KeySince), EarlierAt: optional(moment(p.Earlier)), Events: p.Events, Beyond: beyond(p.Found),
	}
}

// Report is an erasure as the API and the command show it.
func Report(s store.Shred) (httpapi.Shred, error) {
	found, err := parseFound(s.Found)
	if err != nil {
		return httpapi.Shred{}, err
	}
	out := httpapi.Shred{
		Id: s.ID.String(), State: string(s.State), Subject: s.Subject.String(), Reason: s.Reason, RequestedBy: s.By, RequestedAt: event.FormatTime(s.At),
		ErasedAt: momentOf(s.ErasedAt), EarlierAt: momentOf(s.Earlier), Restored: s.Restored, Keys: []string{},
		Events: s.Swept.Events, Digests: s.Swept.Digests, Tokens: s.Swept.Tokens, Vacuumed: s.Vacuumed, FinishedAt: momentOf(s.FinishedAt), Beyond: beyond(found),
	}
	for _, key := range s.Keys {
		out.Keys = append(out.Keys, key.String())
	}
	if s.Certificate >= 0 {
		out.Certificate = &struct {
			Log      string `json:"log"`
			Position int64  `json:"position"`
		}{"access", s.Certificate}
	}
	return out, nil
}

func beyond(f Found) httpapi.ShredBeyond {
	return httpapi.ShredBeyond{
		WrappingKeySince: optional(f.WrappingKeySince), Topics: f.Topics, Replays: f.Replays, DeadLetters: f.DeadLetters,
		AggregateIds: f.AggregateIDs, UserIds: f.UserIDs, Unsealed: f.Unsealed, Complete: f.Complete,
	}
}

func momentOf(t time.Time) *string { return optional(moment(t)) }

// optional is a text, or nil for "".
func optional(text string) *string {
	if text == "" {
		return nil
	}
	return &text
}
