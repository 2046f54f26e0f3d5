package ingest

import (
	"context"
	"sync"
)

// budget bounds the memory of what is between fetch and commit. One goroutine takes from it, others
// give back; that is why a single wake-up is enough.
type budget struct {
	size int64
	wake chan struct{}

	mu   sync.Mutex
	free int64
}

func newBudget(size int64) *budget {
	return &budget{size: size, free: size, wake: make(chan struct{}, 1)}
}

// take waits until n is free, and answers how much was taken: a record that is larger than the whole
// budget goes through alone.
func (b *budget) take(ctx context.Context, n int64) (int64, error) {
	n = min(n, b.size)
	for {
		b.mu.Lock()
		if b.free >= n {
			b.free -= n
			b.mu.Unlock()
			return n, nil
		}
		b.mu.Unlock()
		select {
		case <-b.wake:
		case <-ctx.Done():
			return 0, ctx.Err()
		}
	}
}

func (b *budget) give(n int64) {
	b.mu.Lock()
	b.free += n
	b.mu.Unlock()
	select {
	case b.wake <- struct{}{}:
	default:
	}
}

// used is how much is taken.
func (b *budget) used() int64 {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.size - b.free
}
