package replay

import (
	"context"
	"errors"
	"slices"
	"strconv"
	"strings"
	"time"

	"audittrail/modules/access"
	"audittrail/modules/event"
	"audittrail/modules/httpapi"
	"audittrail/modules/protect"
	"audittrail/modules/store"
	"audittrail/platform/auth"
	"audittrail/platform/errs"
	"audittrail/platform/httpserver"
)

const (
	defaultLimit = 50

	// confirmAbove is up to how many events a job is made without confirmCount.
	confirmAbove = 10_000

	// maxPreviews is how many previews are computed at once: each reads every event that fits.
	maxPreviews = 2

	// shownTypes is how many event types a preview names.
	shownTypes = 1000
)

// JobStore keeps the jobs: a [store.Replays].
type JobStore interface {
	Create(ctx context.Context, n store.NewReplay) (store.Replay, error)
	List(ctx context.Context, p store.Page) (store.ReplayPage, error)
	Get(ctx context.Context, id event.ID) (store.Replay, error)
	Ask(ctx context.Context, id event.ID, wish store.ReplayWish, by string) (store.Replay, error)
	Failures(ctx context.Context, of store.Replay, after int64, limit int) ([]store.ReplayFailure, error)
}

// EventReader reads what a job would send: a [store.Reader].
type EventReader interface {
	Head(ctx context.Context) (int64, error)
	Summarize(ctx context.Context, f store.Filter, until int64) (store.Summary, error)
}

// EndpointOptions are what the handlers are made with.
type EndpointOptions struct {
	Jobs    JobStore
	Reader  EventReader
	Targets *Targets
	Rules   *protect.Rules // nil: nothing is sealed

	// Ingested lists the topics that ingest has ever read, by the event store; the API's own configuration may
	// not know them.
	Ingested func(ctx context.Context) ([]string, error)
}

// Endpoints is the handler set of replays.
type Endpoints struct {
	EndpointOptions
	previews chan struct{}
	streams  chan struct{}
	over     chan struct{} // closed when the server stops
}

// NewEndpoints makes the handlers.
func NewEndpoints(o EndpointOptions) *Endpoints {
	return &Endpoints{o, make(chan struct{}, maxPreviews), make(chan struct{}, maxStreams), make(chan struct{})}
}

// ListReplays answers the jobs that the caller may see.
func (h *Endpoints) ListReplays(ctx context.Context, r httpapi.ListReplaysRequestObject) (httpapi.ListReplaysResponseObject, error) {
	page := store.Page{Limit: defaultLimit, Cursor: textOf(r.Params.Cursor)}
	if r.Params.Limit != nil {
		page.Limit = int(*r.Params.Limit)
	}
	found, err := h.Jobs.List(ctx, page)
	if err != nil {
		return nil, err
	}
	list := httpapi.ReplayList{Items: make([]httpapi.Replay, len(found.Items))}
	for i := range found.Items {
		list.Items[i] = answer(&found.Items[i])
	}
	if found.Next != "" {
		list.NextCursor = &found.Next
	}
	return httpapi.ListReplays200JSONResponse{Body: list}, nil
}

// GetReplay answers one job.
func (h *Endpoints) GetReplay(ctx context.Context, r httpapi.GetReplayRequestObject) (httpapi.GetReplayResponseObject, error) {
	found, err := h.get(ctx, r.Id)
	if err != nil {
		return nil, err
	}
	if wantsStream(httpserver.ExchangeOf(ctx).Request) {
		return h.stream(ctx, found), nil
	}
	return httpapi.GetReplay200JSONResponse{Body: answer(&found)}, nil
}

func (h *Endpoints) get(ctx context.Context, id string) (store.Replay, error) {
	parsed, err := event.ParseID(id)
	if err != nil {
		return store.Replay{}, invalid("id", "must be a UUID in its 36-character form").Because(err)
	}
	return h.Jobs.Get(ctx, parsed)
}

// CreateReplay makes a job, or says what it would send.
func (h *Endpoints) CreateReplay(ctx context.Context, r httpapi.CreateReplayRequestObject) (httpapi.CreateReplayResponseObject, error) {
	ctx, err := access.Require(ctx, access.EventsRead) // what is sent is shown
	if err != nil {
		return nil, err
	}
	plan, err := h.plan(ctx, r.Body)
	if err != nil {
		return nil, err
	}
	total, err := h.summarize(ctx, plan)
	if err != nil {
		return nil, err
	}
	if r.Body.DryRun != nil && *r.Body.DryRun {
		return httpapi.CreateReplay200JSONResponse{Body: preview(ctx, plan, total)}, nil
	}
	if err := wantTreatment(&plan.job, total); err != nil {
		return nil, err
	}
	if given := r.Body.ConfirmCount; given == nil && total.Total > confirmAbove || given != nil && *given != total.Total {
		return nil, errs.New(errs.Conflict, "count_mismatch",
			"there are %d events to send: look at the preview, and send confirmCount and until as it has them", total.Total).InField("confirmCount")
	}
	plan.job.Total = total.Total
	made, err := h.Jobs.Create(ctx, plan.job)
	if err != nil {
		return nil, err
	}
	return httpapi.CreateReplay201JSONResponse{Body: answer(&made)}, nil
}

// plan is a job that was asked for.
type plan struct {
	job    store.NewReplay
	filter store.Filter
	to     destination
	pace   pacer
}

// plan checks what was asked for.
func (h *Endpoints) plan(ctx context.Context, body *httpapi.ReplayRequest) (p plan, err error) {
	if p.filter, err = filterOf(body.Filter, time.Now()); err != nil {
		return p, err
	}
	if err := h.checkSealed(p.filter); err != nil {
		return p, err
	}
	speed, err := speedOf(body.Speed)
	if err != nil {
		return p, err
	}
	if p.to, err = h.Targets.resolve(body.Target); err != nil {
		return p, err
	}
	if err := h.checkIngested(ctx, p.to); err != nil {
		return p, err
	}
	p.pace = paceOf(speed, p.to)
	head, err := h.Reader.Head(ctx)
	if err != nil {
		return p, err
	}
	principal, _ := auth.PrincipalOf(ctx)
	p.job = store.NewReplay{CreatedBy: principal.Subject, Reason: body.Reason, TargetKey: p.to.key(), Until: head}
	if err := treatSealed(ctx, body, p.to, &p.job); err != nil {
		return p, err
	}
	if body.Until != nil {
		if p.job.Until = *body.Until; p.job.Until > head {
			return p, errs.New(errs.Conflict, "position_beyond_end", "lies beyond the end of the log, which is at position %d", head).InField("until")
		}
	}
	var failed [3]error
	p.job.Filter, failed[0] = document(body.Filter)
	p.job.Target, failed[1] = document(&body.Target)
	p.job.Speed, failed[2] = document(body.Speed)
	return p, errors.Join(failed[:]...)
}

// checkIngested refuses a topic that ingest reads, or has read.
func (h *Endpoints) checkIngested(ctx context.Context, to destination) error {
	if to.kind != typeKafka {
		return nil
	}
	topics, err := h.Ingested(ctx)
	if err != nil {
		return errs.New(errs.Unavailable, "unavailable", "the event store can't be reached right now; try again later").Because(err)
	}
	if slices.Contains(topics, to.topic) {
		return refusedIngested()
	}
	return nil
}

var errPreviews = errs.New(errs.Unavailable, "unavailable", "too many previews of replays are being computed; try again later")

func (h *Endpoints) summarize(ctx context.Context, p plan) (store.Summary, error) {
	select {
	case h.previews <- struct{}{}:
		defer func() { <-h.previews }()
		return h.Reader.Summarize(ctx, p.filter, p.job.Until)
	default:
		return store.Summary{}, errPreviews
	}
}

func preview(ctx context.Context, p plan, all store.Summary) httpapi.ReplayPreview {
	out := httpapi.ReplayPreview{
		Total: all.Total, Bytes: all.Bytes, Types: map[string]int64{}, Until: p.job.Until,
		First: shownEvent(ctx, all.First), Last: shownEvent(ctx, all.Last), EstimatedSeconds: p.pace.estimate(p.to.kind, all),
		Sealed: all.Sealed, Erased: all.Erased,
	}
	if all.Total > 0 {
		from, to := event.FormatTime(all.From), event.FormatTime(all.To)
		out.From, out.To = &from, &to
	}
	types := make([]string, 0, len(all.Types))
	for kind := range all.Types {
		types = append(types, kind)
	}
	slices.SortFunc(types, func(a, b string) int {
		if all.Types[a] != all.Types[b] {
			return int(all.Types[b] - all.Types[a])
		}
		return strings.Compare(a, b)
	})
	for _, kind := range types[:min(len(types), shownTypes)] {
		out.Types[kind] = all.Types[kind]
	}
	return out
}

// shownEvent is an event without what it says, and tells the access log of it.
func shownEvent(ctx context.Context, e *event.Stored) *httpapi.ReplayedEvent {
	if e == nil {
		return nil
	}
	httpserver.ShowEvents(ctx, 1)
	httpserver.ShowPosition(ctx, e.Position)
	return &httpapi.ReplayedEvent{
		Position: e.Position, EventId: e.ID.String(), EventType: e.Type, AggregateType: e.AggregateType, AggregateId: e.AggregateID,
		Timestamp: event.FormatTime(e.Timestamp),
	}
}

// PauseReplay asks a job to stop for now.
func (h *Endpoints) PauseReplay(ctx context.Context, r httpapi.PauseReplayRequestObject) (httpapi.PauseReplayResponseObject, error) {
	now, err := h.ask(ctx, r.Id, store.WishPause)
	return httpapi.PauseReplay200JSONResponse{Body: now}, err
}

// ResumeReplay asks a job to go on.
func (h *Endpoints) ResumeReplay(ctx context.Context, r httpapi.ResumeReplayRequestObject) (httpapi.ResumeReplayResponseObject, error) {
	now, err := h.ask(ctx, r.Id, store.WishRun)
	return httpapi.ResumeReplay200JSONResponse{Body: now}, err
}

// CancelReplay asks a job to end.
func (h *Endpoints) CancelReplay(ctx context.Context, r httpapi.CancelReplayRequestObject) (httpapi.CancelReplayResponseObject, error) {
	now, err := h.ask(ctx, r.Id, store.WishCancel)
	return httpapi.CancelReplay200JSONResponse{Body: now}, err
}

// RetryReplay asks a job to send again what has failed.
func (h *Endpoints) RetryReplay(ctx context.Context, r httpapi.RetryReplayRequestObject) (httpapi.RetryReplayResponseObject, error) {
	now, err := h.ask(ctx, r.Id, store.WishRetry)
	return httpapi.RetryReplay200JSONResponse{Body: now}, err
}

// ListReplayFailures answers which events of a job were not delivered, and why.
func (h *Endpoints) ListReplayFailures(ctx context.Context, r httpapi.ListReplayFailuresRequestObject) (httpapi.ListReplayFailuresResponseObject, error) {
	of, err := h.get(ctx, r.Id)
	if err != nil {
		return nil, err
	}
	after, limit := int64(-1), defaultLimit
	if r.Params.After != nil {
		after = *r.Params.After
	}
	if r.Params.Limit != nil {
		limit = int(*r.Params.Limit)
	}
	found, err := h.Jobs.Failures(ctx, of, after, limit+1)
	if err != nil {
		return nil, err
	}
	list := httpapi.ReplayFailureList{Items: []httpapi.ReplayFailure{}}
	for _, f := range found[:min(limit, len(found))] {
		list.Items = append(list.Items, httpapi.ReplayFailure{
			Position: f.Position, EventId: f.EventID.String(), AggregateType: f.AggregateType, AggregateId: f.AggregateID,
			Attempts: int32(f.Attempts), Reason: f.Reason, FailedAt: event.FormatTime(f.At),
		})
		httpserver.ShowEvents(ctx, 1)
		httpserver.ShowPosition(ctx, f.Position)
	}
	if len(found) > limit {
		next := strconv.FormatInt(found[limit-1].Position, 10)
		list.NextCursor = &next
	}
	return httpapi.ListReplayFailures200JSONResponse{Body: list}, nil
}

func (h *Endpoints) ask(ctx context.Context, id string, wish store.ReplayWish) (httpapi.Replay, error) {
	parsed, err := event.ParseID(id)
	if err != nil {
		return httpapi.Replay{}, invalid("id", "must be a UUID in its 36-character form").Because(err)
	}
	principal, _ := auth.PrincipalOf(ctx)
	now, err := h.Jobs.Ask(ctx, parsed, wish, principal.Subject)
	if err != nil {
		return httpapi.Replay{}, err
	}
	return answer(&now), nil
}

// answer is a job as the API shows it.
func answer(r *store.Replay) httpapi.Replay {
	out := httpapi.Replay{
		Id: r.ID.String(), State: string(r.State), Filter: r.Filter, Target: r.Target, Speed: r.Speed, Reason: r.Reason, Until: r.Until, Total: r.Total,
		Sent: r.Sent, Failed: r.Failed, Waiting: r.Waiting, Remaining: max(0, r.Total-r.Sent-r.Failed-r.Waiting), Position: r.Position, Rate: r.Rate,
		CreatedBy: r.CreatedBy, CreatedAt: event.FormatTime(r.CreatedAt), StartedAt: momentOf(r.StartedAt), FinishedAt: momentOf(r.FinishedAt), Error: r.Error,
	}
	if r.State == store.ReplayRunning && r.Rate > 0 {
		out.EstimatedEnd = momentOf(time.Now().UTC().Add(time.Duration(float64(out.Remaining) / r.Rate * float64(time.Second))))
	}
	return out
}

func momentOf(t time.Time) *string {
	if t.IsZero() {
		return nil
	}
	text := event.FormatTime(t)
	return &text
}
