package analytics

import (
	"context"

	"audittrail/modules/store"
	"audittrail/platform/errs"
	"audittrail/platform/httpserver"
)

// Reader is what the handlers read: a [store.Reader], where each method says what it answers.
type Reader interface {
	Stats(ctx context.Context, s store.Stats) (store.StatsAnswer, error)
	Anomalies(ctx context.Context, f store.AnomalyFilter) ([]store.Anomaly, error)
	Anomaly(ctx context.Context, id string, access bool) (store.Anomaly, error)
	DecideAnomaly(ctx context.Context, id, state, by, reason string) error
	Cases(ctx context.Context, f store.CaseFilter, each func([]store.CaseEvent)) error
}

// API is the handler set of the analytics' paths. The role api serves them; the role analytics keeps what they
// answer from.
type API struct {
	reader   Reader
	readings *httpserver.Slots // of answers that follow events
}

// NewAPI makes the handlers.
func NewAPI(reader Reader) *API { return &API{reader, newReadings()} }

func invalid(field, detail string) *errs.Error {
	return errs.New(errs.Invalid, "invalid_parameter", "%s", detail).InField(field)
}

// valueOf is an optional parameter's value, or otherwise where it was not given.
func valueOf[T any](given *T, otherwise T) T {
	if given == nil {
		return otherwise
	}
	return *given
}
