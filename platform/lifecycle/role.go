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
