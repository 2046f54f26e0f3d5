package process_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"audittrail/modules/analytics/process"
)

// A case is open exactly if there are later steps that change what it adds.
func TestACaseIsOpenIfLaterStepsChangeIt(t *testing.T) {
	begin := time.Date(2026, 3, 2, 0, 0, 0, 0, time.UTC)
	since, until := begin.Add(5*time.Hour), begin.Add(20*time.Hour)
	kind := rapid.SampledFrom([]string{"A", "B", "C"})
	rapid.Check(t, func(t *rapid.T) {
		// steps returns so many, an hour each.
		steps := func(hour, n int) (all []process.Step) {
			for i := range n {
				all = append(all, process.Step{Type: kind.Draw(t, "type"), At: begin.Add(time.Duration(hour+i) * time.Hour)})
			}
			return all
		}
		before := steps(0, rapid.IntRange(0, 20).Draw(t, "before"))
		after := steps(20, rapid.IntRange(0, 3).Draw(t, "after"))
		from, to := kind.Draw(t, "from"), kind.Draw(t, "to")
		stepsAdd := func(later ...process.Step) process.Between {
			b := process.Between{From: from, To: to}
			b.Add(append(before[:len(before):len(before)], later...), since, until)
			return b
		}
		if b := (&process.Between{From: from, To: to}); b.IsOpen(before, since, until) {
			require.NotEqual(t, stepsAdd(), stepsAdd(process.Step{Type: to, At: until}))
		} else {
			require.Equal(t, stepsAdd(), stepsAdd(after...))
		}
		types := rapid.SliceOfN(kind, 2, 4).Draw(t, "types")
		counts := func(later ...process.Step) []int64 {
			f := process.NewFunnel(types)
			f.Add(append(before[:len(before):len(before)], later...), since, until)
			return f.Counts
		}
		if f := process.NewFunnel(types); f.IsOpen(before, since, until) {
			var all []process.Step
			for _, kind := range types {
				all = append(all, process.Step{Type: kind, At: until})
			}
			require.NotEqual(t, counts(), counts(all...))
		} else {
			require.Equal(t, counts(), counts(after...))
		}
	})
}

// Producers whose clocks are not set send 1970, for each event.
func TestMeanOfManyPairsThatTakeDecades(t *testing.T) {
	b := process.Between{From: "A", To: "B"}
	first, second := time.Unix(0, 0), time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC)
	for range 10_000 {
		b.Add([]process.Step{{Type: "A", At: first}, {Type: "B", At: second}}, time.Time{}, time.Time{})
	}
	require.Equal(t, second.Sub(first), b.Mean())
}
