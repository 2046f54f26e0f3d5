package sketch_test

import (
	"fmt"
	"math"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"audittrail/modules/analytics/sketch"
)

func TestDistinctIsCloseToTheTruth(t *testing.T) {
	for _, n := range []int{0, 1, 2, 10, 100, 1000, 1400, 10_000, 300_000} {
		var d sketch.Distinct
		for i := range n {
			d.Add("Order", fmt.Sprint("o-", i))
			d.Add("Order", fmt.Sprint("o-", i/2))
		}
		allowed := max(0.06*float64(n), 2) // almost four standard errors; the hash is fixed, so this never varies
		require.LessOrEqual(t, math.Abs(float64(d.Estimate())-float64(n)), allowed, "%d: %d", n, d.Estimate())
	}
}

// However things are grouped and ordered, the same set has the same bytes.
func TestDistinctDoesNotDependOnOrderAndGroups(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		n := rapid.IntRange(0, 3000).Draw(r, "n")
		groups := rapid.IntRange(1, 5).Draw(r, "groups")
		var whole, merged sketch.Distinct
		parts := make([]sketch.Distinct, groups)
		for i := range n {
			whole.Add(fmt.Sprint(i))
			parts[(i*7)%groups].Add(fmt.Sprint(n - 1 - i))
		}
		for _, i := range rapid.Permutation(slices.Collect(seq(groups))).Draw(r, "order") {
			require.NoError(t, merged.Merge(parts[i].Encode()))
		}
		require.Equal(t, whole.Encode(), merged.Encode())
	})
}

func seq(n int) func(func(int) bool) {
	return func(yield func(int) bool) {
		for i := range n {
			if !yield(i) {
				return
			}
		}
	}
}

func TestDurationsQuantiles(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		all := rapid.SliceOfN(rapid.Int64Range(0, int64(200*365*24*time.Hour)), 1, 200).Draw(r, "all")
		var d sketch.Durations
		for _, one := range all {
			d.Add(time.Duration(one), 1)
		}
		slices.Sort(all)
		require.EqualValues(t, len(all), d.Count())
		for _, q := range []float64{0, 0.5, 0.95, 1} {
			want := float64(all[int(q*float64(len(all)-1))])
			require.InDelta(t, want, float64(d.Quantile(q)), 0.008*want+1000, "quantile %v", q)
		}
	})
}

// What was added and taken out again leaves no trace, and the encoded form is the sketch.
func TestDurationsForget(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		kept := rapid.SliceOf(rapid.Int64Range(0, 1<<50)).Draw(r, "kept")
		gone := rapid.SliceOf(rapid.Int64Range(0, 1<<50)).Draw(r, "gone")
		var want, got, read sketch.Durations
		for _, one := range kept {
			want.Add(time.Duration(one), 1)
			got.Add(time.Duration(one), 1)
		}
		for _, one := range gone {
			got.Add(time.Duration(one), 1)
		}
		for _, one := range gone {
			got.Add(time.Duration(one), -1)
		}
		require.Equal(t, want.Encode(), got.Encode())
		require.NoError(t, read.Merge(got.Encode()))
		require.Equal(t, want.Encode(), read.Encode())
	})
}

func TestBytesThatAreNoSketch(t *testing.T) {
	for _, wrong := range [][]byte{{3}, {1, 2}, {2, 0}, {1, 255, 255, 255}, append([]byte{2, 60}, make([]byte, 4095)...)} {
		require.Error(t, new(sketch.Distinct).Merge(wrong), "%v", wrong[:min(len(wrong), 4)])
	}
	require.Error(t, new(sketch.Durations).Merge([]byte{0x80}))
	require.Error(t, new(sketch.Durations).Merge([]byte{0xff, 0xff, 0x7f, 2}))
}
