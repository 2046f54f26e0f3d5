package benchingest

import (
	"context"
	"errors"
	"time"

	"github.com/jackc/pgx/v5"
)

// followEvery is how often a follower looks: no delay is known better.
const followEvery = 50 * time.Millisecond

// follower looks how far the rollups are behind the log, while both grow.
type follower struct {
	cancel context.CancelFunc
	ended  chan error
	most   time.Duration
}

// follow begins to look. The caller MUST call cancel, at the latest when it is done with the database.
func follow(ctx context.Context, url string) (*follower, error) {
	conn, err := pgx.Connect(ctx, url)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(ctx)
	f := &follower{cancel: cancel, ended: make(chan error, 1)}
	go func() {
		err := f.look(ctx, conn)
		f.ended <- errors.Join(err, conn.Close(context.WithoutCancel(ctx)))
	}()
	return f, nil
}

// look notes the ends that the log had, and for how long the rollups had not come to the first of them.
func (f *follower) look(ctx context.Context, conn *pgx.Conn) error {
	type end struct {
		position int64
		seen     time.Time
	}
	var ahead []end // which the rollups have not come to
	again := time.NewTicker(followEvery)
	defer again.Stop()
	for {
		var at, size int64
		err := conn.QueryRow(ctx, "SELECT ("+counted+"), ("+stored+")").Scan(&at, &size)
		if ctx.Err() != nil {
			return nil
		}
		if err != nil {
			return err
		}
		now := time.Now()
		for len(ahead) > 0 {
			f.most = max(f.most, now.Sub(ahead[0].seen))
			if ahead[0].position > at {
				break
			}
			ahead = ahead[1:]
		}
		if size > at && (len(ahead) == 0 || ahead[len(ahead)-1].position < size) {
			ahead = append(ahead, end{size, now})
		}
		select {
		case <-again.C:
		case <-ctx.Done():
			return nil
		}
	}
}

// behind ends the looking, and returns the longest delay in seconds.
func (f *follower) behind() (float64, error) {
	f.cancel()
	err := <-f.ended
	return f.most.Seconds(), err
}
