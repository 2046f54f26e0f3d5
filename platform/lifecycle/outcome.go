package lifecycle

import (
	"context"
	"errors"
	"log/slog"
	"sync"
)

// Outcome keeps how a role's latest round went, for its Health, and logs where that is another than before.
type Outcome struct {
	log           *slog.Logger
	starting      error
	failed, works string

	mu     sync.Mutex
	latest error
}

// NewOutcome returns an Outcome of a role that has done no round yet: its health is starting until then. failed is what
// the log says of a round that fails in another way than the one before, and works what it says of the first that goes
// well again; "" for nothing.
func NewOutcome(log *slog.Logger, starting error, failed, works string) *Outcome {
	return &Outcome{log: log, starting: starting, failed: failed, works: works, latest: starting}
}

// Health returns how the latest round went.
func (o *Outcome) Health() error {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.latest
}

// Note keeps a round's outcome. What fails while ctx ends is no failure, but stopping.
func (o *Outcome) Note(ctx context.Context, err error) {
	if ctx.Err() != nil {
		return
	}
	o.mu.Lock()
	before := o.latest
	o.latest = err
	o.mu.Unlock()
	switch {
	case err != nil && (before == nil || before.Error() != err.Error()):
		o.log.WarnContext(ctx, o.failed, slog.Any("error", err)) //nolint:sloglint // a constant of the role
	case err == nil && before != nil && !errors.Is(before, o.starting) && o.works != "":
		o.log.InfoContext(ctx, o.works) //nolint:sloglint // likewise
	}
}
