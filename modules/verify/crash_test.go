package verify_test

import (
	"context"
	"net"
	"sync/atomic"
	"testing"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"audittrail/modules/ledger"
	"audittrail/modules/migrate/migratetest"
	"audittrail/modules/store"
)

// fuse ends a connection after so many bytes of the server's answers.
type fuse struct {
	net.Conn
	left *atomic.Int64
}

func (f fuse) Read(b []byte) (int, error) {
	n, err := f.Conn.Read(b)
	if err == nil && f.left.Add(int64(-n)) < 0 {
		return 0, f.Close()
	}
	return n, err
}

// TestCrashesLeaveALogThatVerifies: the append transaction is cut off after every few bytes of the
// server's answers, COMMIT's among them. Whatever was stored verifies, before and after the batch is sent
// again.
func TestCrashesLeaveALogThatVerifies(t *testing.T) {
	t.Parallel()
	h := newHistory(t)
	h.grow(t, 3)
	h.sign(t)
	config, err := pgxpool.ParseConfig(migratetest.AsRole(t, h.url, "audittrail_ingest"))
	require.NoError(t, err)
	var left atomic.Int64
	config.MaxConns = 1
	config.ConnConfig.DialFunc = func(ctx context.Context, network, address string) (net.Conn, error) {
		conn, err := new(net.Dialer).DialContext(ctx, network, address)
		return fuse{conn, &left}, err
	}
	pool, err := pgxpool.NewWithConfig(t.Context(), config)
	require.NoError(t, err)
	defer pool.Close()
	appender := store.NewAppender(store.AppenderOptions{Pool: pool})

	crashes, stored := 0, 0
	for cut := int64(0); ; cut += 71 {
		b := h.batch(t, 4)
		left.Store(1 << 40)
		require.NoError(t, pool.Ping(t.Context()))
		left.Store(cut)
		_, err := appender.Append(t.Context(), b)
		left.Store(1 << 40)
		if err == nil {
			h.next += 4
			break
		}
		crashes++
		report := h.verify(t)
		require.True(t, report.Intact, "after a cut at %d: %s", cut, show(report))
		receipt, err := h.append.Append(t.Context(), b)
		require.NoError(t, err)
		stored += len(receipt.Already)
		h.next += 4
	}
	require.Greater(t, crashes, 5)
	require.Positive(t, stored, "COMMIT's answer was among what was cut")
	h.sign(t)
	report := h.verify(t)
	require.True(t, report.Intact, show(report))
	require.Equal(t, h.next, report.Logs[0].Signed)
}

// TestNotaryThatStopsInBetween: tiles are there that no checkpoint covers yet.
func TestNotaryThatStopsInBetween(t *testing.T) {
	t.Parallel()
	h := standard(t)
	h.grow(t, 300)
	rows := store.NewLedger(h.admin, ledger.Events)
	built, err := rows.Built(t.Context())
	require.NoError(t, err)
	require.NoError(t, ledger.BuildTiles(t.Context(), rows, built, 950, func(ctx context.Context, _ int64, parts []ledger.TilePart) error {
		return rows.WriteTiles(ctx, parts)
	}))
	report := h.verify(t)
	require.True(t, report.Intact, show(report))
	require.EqualValues(t, 320, report.Logs[0].NotYetSigned)
}

// TestVerifyingWhileIngestRuns: what is appended meanwhile makes no difference.
func TestVerifyingWhileIngestRuns(t *testing.T) {
	t.Parallel()
	h := standard(t)
	batches := make([]store.Batch, 200)
	for i := range batches {
		batches[i] = h.batch(t, 50)
		h.next += 50
	}
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan error, 1)
	appended := make(chan struct{}, len(batches))
	go func() {
		for i := 0; i < len(batches) && ctx.Err() == nil; i++ {
			if _, err := h.append.Append(context.WithoutCancel(ctx), batches[i]); err != nil {
				done <- err
				return
			}
			appended <- struct{}{}
		}
		done <- nil
	}()
	for range 3 {
		<-appended
		report := h.verify(t)
		require.True(t, report.Intact, show(report))
		require.Equal(t, report.Events, report.Logs[0].Size)
	}
	stop()
	require.NoError(t, <-done)
}
