package notary

import (
	"context"
	"runtime"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"audittrail/modules/ledger"
)

// TestCatchesUpInBoundedMemory: after a pause in which a million entries came, what the notary holds at
// any time is far less than their leaves (32 MB).
func TestCatchesUpInBoundedMemory(t *testing.T) { // alone: it measures the heap
	const bound = 16 << 20
	d := newDatabase(t)
	file := tempState(t)
	d.grow(ledger.Events, 1, 1000)
	n := d.notary(file, key(t, 1))
	stop := n.start()
	n.signs(d, ledger.Events, 1000)
	stop()
	for range 61 {
		d.grow(ledger.Events, 1, 16384)
	}
	size := d.size(ledger.Events)

	n = d.notary(file, key(t, 1))
	before := live()
	var most atomic.Uint64
	lead := n.lead
	n.lead = func(ctx context.Context) (session, bool, error) {
		s, ok, err := lead(ctx)
		if err != nil || !ok {
			return nil, false, err
		}
		return &weighedSession{s, &most}, true, nil
	}
	began := time.Now()
	n.start()
	n.signs(d, ledger.Events, size)
	t.Logf("%d entries in %s, heap beyond the start at most %.1f MiB", size-1000, time.Since(began), float64(int64(most.Load()-before))/(1<<20))
	require.Less(t, most.Load(), before+bound)
	require.Zero(t, refusals(t, n))
}

// live is the bytes that are in use on the heap.
func live() uint64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

type weighedSession struct {
	session
	most *atomic.Uint64
}

func (s *weighedSession) Ledger(log ledger.Log) rows {
	return &weighedRows{s.session.Ledger(log), s.most}
}

// weighedRows weighs the heap whenever leaves have been read.
type weighedRows struct {
	rows
	most *atomic.Uint64
}

func (r *weighedRows) Leaves(ctx context.Context, ranges []ledger.Range) ([][]ledger.Hash, error) {
	leaves, err := r.rows.Leaves(ctx, ranges)
	if now := live(); now > r.most.Load() {
		r.most.Store(now)
	}
	runtime.KeepAlive(leaves)
	return leaves, err
}
