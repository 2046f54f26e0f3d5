package verify_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"audittrail/modules/event"
	"audittrail/modules/store"
	"audittrail/modules/verify"
)

// TestUnsignedTail: behind the last checkpoint there may be what was recorded within minutes, whenever
// that was, and no more.
func TestUnsignedTail(t *testing.T) {
	t.Parallel()
	h := newHistory(t)
	now := time.Date(2024, 5, 1, 12, 0, 0, 0, time.UTC) // long ago: a backup
	h.append = store.NewAppender(store.AppenderOptions{Pool: h.pool, Now: func() time.Time { return now }})
	h.grow(t, 10)
	h.sign(t)
	report := h.verify(t)
	require.True(t, report.Intact, show(report))
	require.Empty(t, report.Logs[0].UnsignedSince)

	now = now.Add(24 * time.Hour)
	h.grow(t, 10)
	since := event.FormatTime(now)
	now = now.Add(verify.DefaultMaxUnsigned)
	h.grow(t, 10)
	report = h.verify(t)
	require.True(t, report.Intact, show(report))
	require.Equal(t, since, report.Logs[0].UnsignedSince)
	require.Empty(t, report.Logs[1].UnsignedSince)

	now = now.Add(time.Second)
	h.grow(t, 10)
	report = h.verify(t)
	unsigned := found(report, verify.LogUnsigned)
	require.Len(t, unsigned, 1, show(report))
	require.EqualValues(t, 1, report.Total)
	require.Contains(t, unsigned[0].Detail, "the last 30 entries, which were recorded from "+since)
	require.Equal(t, []int64{10, 40}, []int64{*unsigned[0].Position, *unsigned[0].End})
	require.Equal(t, since, report.Logs[0].UnsignedSince)
	require.True(t, h.verify(t, func(o *verify.Options) { o.MaxUnsigned = verify.DefaultMaxUnsigned + time.Second }).Intact)

	h.sign(t)
	require.True(t, h.verify(t).Intact)
	// All checkpoints above a size are removed, so that what they covered can be rewritten.
	h.tamper(t, `DELETE FROM ledger_checkpoints WHERE size > 10`)
	require.Len(t, found(h.verify(t), verify.LogUnsigned), 1)
}

// TestANewStoreIsNotSignedYet: a notary signs the first entries within seconds. Until then nothing is proven,
// which is neither intact nor a finding.
func TestANewStoreIsNotSignedYet(t *testing.T) {
	t.Parallel()
	h := newHistory(t)
	now := time.Date(2024, 5, 1, 12, 0, 0, 0, time.UTC)
	h.append = store.NewAppender(store.AppenderOptions{Pool: h.pool, Now: func() time.Time { return now }})
	require.False(t, h.verify(t).NotSigned(), "nothing is there to be signed")
	h.grow(t, 10)
	report := h.verify(t)
	require.Empty(t, report.Findings)
	require.False(t, report.Intact)
	require.True(t, report.NotSigned())
	require.EqualValues(t, 10, report.Logs[0].NotYetSigned)

	now = now.Add(verify.DefaultMaxUnsigned + time.Second)
	h.grow(t, 10)
	report = h.verify(t)
	require.Len(t, found(report, verify.LogUnsigned), 1, "no notary signs: "+show(report))

	h.sign(t)
	report = h.verify(t)
	require.True(t, report.Intact, show(report))
	require.False(t, report.NotSigned())
}

// TestAClockAheadIsNoTail: what was signed long since was recorded by another clock.
func TestAClockAheadIsNoTail(t *testing.T) {
	t.Parallel()
	h := newHistory(t)
	now := time.Date(2024, 5, 1, 12, 0, 0, 0, time.UTC)
	h.append = store.NewAppender(store.AppenderOptions{Pool: h.pool, Now: func() time.Time { return now }})
	now = now.Add(2 * verify.DefaultMaxUnsigned)
	h.grow(t, 10)
	h.sign(t)
	now = now.Add(-2 * verify.DefaultMaxUnsigned)
	h.grow(t, 1)
	report := h.verify(t)
	require.True(t, report.Intact, show(report))
	require.EqualValues(t, 1, report.Logs[0].NotYetSigned)
}
