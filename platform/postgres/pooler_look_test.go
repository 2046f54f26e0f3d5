package postgres

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/stretchr/testify/require"
)

// One looks at a time. The others share what it sees, leave when they like, and look themselves if it goes away.
func TestOneLooksAtAPooler(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		looks, full := 0, errors.New("the pool is full")
		answer := make(chan error)
		p := &pooler{connect: func(ctx context.Context) (*pgconn.PgConn, error) {
			looks++
			select {
			case err := <-answer:
				return nil, err
			case <-ctx.Done():
				return nil, ctx.Err()
			}
		}}
		check := func() (leave context.CancelFunc, result chan error) {
			ctx, cancel := context.WithCancel(t.Context())
			result = make(chan error, 1)
			go func() { result <- p.check(ctx, nil, "") }()
			synctest.Wait()
			return cancel, result
		}
		leaveFirst, first := check()
		leaveSecond, second := check()
		_, third := check()
		_, fourth := check()

		leaveSecond()
		require.ErrorIs(t, <-second, context.Canceled)
		require.Equal(t, 1, looks)

		leaveFirst()
		require.ErrorIs(t, <-first, context.Canceled)
		synctest.Wait()
		require.Equal(t, 2, looks)

		answer <- full
		require.ErrorIs(t, <-third, full)
		require.ErrorIs(t, <-fourth, full)
		require.Equal(t, 2, looks)

		_, fifth := check()
		require.ErrorIs(t, <-fifth, context.DeadlineExceeded, "no answer")
		require.Equal(t, 3, looks)
	})
}
