package query

import (
	"context"
	"time"

	"audittrail/platform/auth"
	"audittrail/platform/errs"
)

var errExpired = errs.New(errs.Unauthenticated, "token_expired", "the token has expired while the answer was made")

// accepted is an error once the caller's token is refused. Streams ask between what they send.
func accepted(ctx context.Context) error {
	if p, ok := auth.PrincipalOf(ctx); ok && !time.Now().Before(p.AcceptedUntil()) {
		return errExpired
	}
	return nil
}

// patience is how long a caller may wait who would wait so long: until the token is refused.
func patience(ctx context.Context, longest time.Duration) time.Duration {
	if p, ok := auth.PrincipalOf(ctx); ok {
		return min(longest, time.Until(p.AcceptedUntil()))
	}
	return longest
}
