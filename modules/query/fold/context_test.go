package fold_test

import "context"

// ctx is a test's context, also of a property test's.
func ctx(t any) context.Context {
	if c, ok := t.(interface{ Context() context.Context }); ok {
		return c.Context()
	}
	return context.Background()
}
