// Package lifecycle starts roles in order, tells which of them are ready, and stops them in reverse
// within a grace period. It knows nothing of what a role does.
package lifecycle

import "context"

// Role is a long-running part of the program.
//
// Run works until ctx is cancelled and then returns nil after it has put its work down tidily; any
// other return is a failure of the role. It MUST call ready once it can do its work, MUST NOT return
// before every goroutine that it started has ended, and is called once.
//
// Health answers whether the role can do its work right now; it is called from other goroutines
// while Run runs, and MUST answer within its context.
type Role interface {
	Name() string
	Run(ctx context.Context, ready func()) error
	Health(ctx context.Context) error
}

// Drainer is a role that prepares for its end. Drain is called when the program was asked to stop and
// still serves for a while; the role goes on working, and asks its callers to go elsewhere. It MUST NOT
// block.
type Drainer interface {
	Drain()
}

// Reloader is a role that can read files again while it runs, such as certificates. What can't be read
// leaves the last good one in place and is returned as an error.
type Reloader interface {
	Reload(ctx context.Context) error
}

// Noter is a role that has something to tell its operators although it can do its work, such as a topic
// that does not exist yet. Notes returns one sentence for each such thing; it MUST NOT block, and is
// called from other goroutines while Run runs.
type Noter interface {
	Notes() []string
}
