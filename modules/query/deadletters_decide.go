package query

import (
	"context"
	"encoding/base64"
	"strings"
	"time"
	"unicode/utf8"

	"audittrail/modules/access"
	"audittrail/modules/event"
	"audittrail/modules/httpapi"
	"audittrail/modules/store"
	"audittrail/platform/auth"
	"audittrail/platform/errs"
)

// Letters is what decides about dead letters: a [store.Letters].
type Letters interface {
	Dismiss(ctx context.Context, ids []int64, by, reason string, at time.Time) (int64, error)
	RequestRedrive(ctx context.Context, r store.RedriveRequest, ids []int64) (int64, error)
	Redrive(ctx context.Context, id int64) (store.RedriveState, bool, error)
}

// maxDecided is how many dead letters one request is about at most.
const maxDecided = 10_000

// RedriveDeadLetters keeps a request, which the role replay carries out, or says what it would be about.
func (h *Handlers) RedriveDeadLetters(ctx context.Context, r httpapi.RedriveDeadLettersRequestObject) (httpapi.RedriveDeadLettersResponseObject, error) {
	in := r.Body
	chosen, letters, err := h.choose(ctx, in.Ids, in.Filter, in.Reason)
	if err != nil {
		return nil, err
	}
	request := store.RedriveRequest{CreatedAt: time.Now(), By: principal(ctx), Reason: in.Reason}
	if in.Value != nil {
		if request.Value, err = h.edit(ctx, letters, *in.Value); err != nil {
			return nil, err
		}
		request.Edited = true
		if h.sealing != nil {
			key, err := h.sealing.Key(ctx, request.CreatedAt)
			if err != nil {
				return nil, err
			}
			request.Value = key.Seal(&event.Raw{Coordinates: letters[0].Raw.Coordinates, Value: request.Value})
			request.SealedBy = &key.ID
		}
	} else if h.kept != nil && len(letters) > 0 {
		if err := h.kept(ctx, letters); err != nil {
			return nil, err
		}
	}
	answer := decision(chosen)
	if in.DryRun != nil && *in.DryRun || len(chosen.IDs) == 0 {
		return httpapi.RedriveDeadLetters200JSONResponse{Body: answer}, nil
	}
	id, err := h.letters.RequestRedrive(ctx, request, chosen.IDs)
	if err != nil {
		return nil, err
	}
	answer.Redrive = &id
	return httpapi.RedriveDeadLetters202JSONResponse{Body: answer}, nil
}

// DismissDeadLetters decides that dead letters stay what they are.
func (h *Handlers) DismissDeadLetters(ctx context.Context, r httpapi.DismissDeadLettersRequestObject) (httpapi.DismissDeadLettersResponseObject, error) {
	in := r.Body
	chosen, _, err := h.choose(ctx, in.Ids, in.Filter, in.Reason)
	if err != nil {
		return nil, err
	}
	answer := decision(chosen)
	if in.DryRun == nil || !*in.DryRun {
		n, err := h.letters.Dismiss(ctx, chosen.IDs, principal(ctx), in.Reason, time.Now())
		if err != nil {
			return nil, err
		}
		answer.Total = int(n) // fewer where somebody else was faster
	}
	return httpapi.DismissDeadLetters200JSONResponse{Body: answer}, nil
}

// GetRedrive answers how far a redrive has come. Who may not see every dead letter sees their own redrives.
func (h *Handlers) GetRedrive(ctx context.Context, r httpapi.GetRedriveRequestObject) (httpapi.GetRedriveResponseObject, error) {
	s, ok, err := h.letters.Redrive(ctx, r.Id)
	if err != nil {
		return nil, err
	}
	if !ok || !store.Unscoped(ctx) && s.By != principal(ctx) {
		return nil, errs.New(errs.NotFound, "not_found", "there is no redrive with this id")
	}
	out := httpapi.Redrive{
		Id: s.ID, State: httpapi.RedrivePending, Total: s.Total,
		Stored: s.Outcomes[store.RedriveStored], Duplicates: s.Outcomes[store.RedriveDuplicate],
		Failed: s.Outcomes[store.RedriveFailed], Decided: s.Outcomes[store.RedriveDecided], Failures: s.Failures,
		Edited: s.Edited, Reason: s.RedriveRequest.Reason, CreatedBy: s.By, CreatedAt: event.FormatTime(s.CreatedAt.UTC()),
	}
	if s.FinishedAt != nil {
		at := event.FormatTime(s.FinishedAt.UTC())
		out.State, out.FinishedAt = httpapi.RedriveCompleted, &at
	}
	return httpapi.GetRedrive200JSONResponse{Body: out}, nil
}

// choose finds the pending dead letters that a decision is about, of which the caller sees each. letters are those
// that were named.
func (h *Handlers) choose(ctx context.Context, ids *[]httpapi.DeadLetterId, f *httpapi.DeadLetterFilter, reason string) (s store.Selection, letters []store.DeadLetter, err error) {
	switch {
	case (ids == nil) == (f == nil):
		return s, nil, invalid("ids", "must be given, or filter, and not both")
	case strings.TrimSpace(reason) == "" || strings.ContainsRune(reason, 0):
		return s, nil, invalid("reason", "must say why, without NUL")
	case f != nil:
		filter := store.DeadLetterFilter{Topic: textOf(f.Topic), Reason: textOf(f.Reason), Field: textOf(f.Field), Key: textOf(f.Key)}
		if filter.From, filter.To, err = httpapi.Between(f.From, f.To); err != nil {
			return s, nil, err
		}
		if f.After != nil {
			filter.After = *f.After
		}
		s, err = h.reader.SelectDeadLetters(ctx, filter, maxDecided)
		return s, nil, err
	}
	if letters, err = h.reader.PendingDeadLetters(ctx, *ids); err != nil {
		return s, nil, err
	}
	s.Reasons = map[string]int{}
	for i := range letters {
		s.IDs = append(s.IDs, letters[i].ID)
		s.Reasons[string(letters[i].Reason)]++
	}
	return s, letters, nil
}

// edit returns the value that is to be stored in place of the letter's own. The caller must be allowed to see that
// one, and to see by deadletters:edit what the new one is: no scope can be left by an edit.
func (h *Handlers) edit(ctx context.Context, letters []store.DeadLetter, value string) ([]byte, error) {
	if len(letters) != 1 {
		return nil, invalid("value", "wants ids with one id")
	}
	edited, err := base64.StdEncoding.DecodeString(value)
	if err != nil || len(edited) == 0 {
		return nil, invalid("value", "must be base64 of at least one byte")
	}
	for _, p := range []access.Permission{access.DeadLettersEdit, access.PIIRead} {
		seeing, err := access.Require(ctx, p)
		if err != nil {
			return nil, err
		}
		if _, err := h.reader.DeadLetter(seeing, letters[0].ID); err != nil {
			return nil, err
		}
	}
	as := store.DeadLetter{Raw: event.Raw{Value: edited}}
	for _, p := range []access.Permission{access.DeadLettersEdit, access.DeadLettersWrite} {
		if !as.ShownBy(access.GrantOf(ctx).Scope(p)) {
			return nil, errs.New(errs.Forbidden, "forbidden", "the new value is not an event that your roles may write: its types or its source are out of scope").InField("value")
		}
	}
	return edited, nil
}

func decision(s store.Selection) httpapi.DeadLetterDecision {
	out := httpapi.DeadLetterDecision{Total: len(s.IDs), Reasons: s.Reasons, More: s.More}
	if n := len(s.IDs); n > 0 {
		out.Last = &s.IDs[n-1]
	}
	return out
}

// principal names the caller, for the record.
func principal(ctx context.Context) string {
	p, _ := auth.PrincipalOf(ctx)
	return p.Subject
}

// decoded is the value as a text with the place of what is wrong; nil where it can't be shown so.
func decoded(d *store.DeadLetter) *httpapi.DecodedValue {
	value := d.Raw.Value
	if len(value) == 0 || !utf8.Valid(value) {
		return nil
	}
	out := &httpapi.DecodedValue{Text: string(value)}
	if d.Raw.Oversize != nil { // of which the beginning is not where it went wrong
		return out
	}
	if from, to, ok := event.Locate(value, d.Field); ok {
		line := value[:from]
		if n := strings.LastIndexByte(string(line), '\n'); n >= 0 {
			line = line[n+1:]
		}
		out.Place = &httpapi.ValuePlace{From: from, To: to, Line: 1 + strings.Count(string(value[:from]), "\n"), Column: 1 + utf8.RuneCount(line)}
	}
	return out
}

func fate(f *store.Fate) *httpapi.DeadLetterFate {
	if f == nil {
		return nil
	}
	out := &httpapi.DeadLetterFate{At: event.FormatTime(f.At), By: f.By, Reason: f.Reason}
	if f.What == store.WasRedriven {
		id := f.EventID.String()
		out.EventId, out.Stored, out.Edited, out.Redrive = &id, &f.Stored, &f.Edited, &f.Redrive
	}
	return out
}

func retry(r *store.Retry) *httpapi.DeadLetterRetry {
	if r == nil {
		return nil
	}
	return &httpapi.DeadLetterRetry{Redrive: r.Redrive, At: event.FormatTime(r.At), Reason: string(r.Reason), Field: r.Field, Detail: r.Detail}
}
