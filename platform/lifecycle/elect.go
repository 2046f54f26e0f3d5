package lifecycle

import (
	"context"
	"time"
)

// Term is one process's time as the one that does a role's work.
type Term interface {
	// Round does the work once. It reports whether the term goes on: false once the lead is lost, or
	// where the term has to begin anew.
	Round(ctx context.Context) bool

	// Close gives the lead up. It MUST bound its own time beside ctx, which may have no end.
	Close(ctx context.Context)
}

// Elect lets one process of many do a role's work, until ctx ends: it tries to lead, works in rounds while
// it does, and tries again. Tries and rounds come every so often, at most. try returns nil where somebody
// else leads or the lead can't be had; what a process that waits has to do has its place in try.
func Elect(ctx context.Context, every time.Duration, try func(ctx context.Context) Term) {
	tick := time.NewTicker(every)
	defer tick.Stop()
	for {
		if term := try(ctx); term != nil {
			serve(ctx, tick.C, term)
		}
		if !next(ctx, tick.C) {
			return
		}
	}
}

func serve(ctx context.Context, tick <-chan time.Time, term Term) {
	defer term.Close(context.WithoutCancel(ctx))
	for goesOn := true; goesOn; {
		goesOn = term.Round(ctx) && next(ctx, tick)
	}
}

// next waits for the tick, and reports false once ctx has ended.
func next(ctx context.Context, tick <-chan time.Time) bool {
	select {
	case <-ctx.Done():
		return false
	case <-tick:
		return ctx.Err() == nil
	}
}
