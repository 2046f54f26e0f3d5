package query_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// BenchmarkFeedWake measures how long after its commit an event is in the hands of those who follow: of
// one stream, and of the last of 30.
func BenchmarkFeedWake(b *testing.B) {
	for _, streams := range []int{1, 30} {
		b.Run(fmt.Sprintf("streams=%d", streams), func(b *testing.B) {
			a := newAPI(b)
			got := make(chan time.Time, streams)
			for range streams {
				s := a.subscribe(b, "/v1/feed")
				go func() {
					for {
						if _, _, err := s.event(); err != nil {
							return
						}
						got <- time.Now()
					}
				}()
			}
			wakes(b, a, func() (last time.Time) {
				for range streams {
					last = <-got
				}
				return last
			})
		})
	}
}

// wakes appends events, one at a time, and reports how long after each append's end it had arrived.
func wakes(b *testing.B, a *api, arrived func() time.Time) {
	b.Helper()
	var took []time.Duration
	for n := 0; b.Loop(); n++ {
		value := order(n, "Order", "x")
		a.append(b, value)
		committed := time.Now()
		took = append(took, max(arrived().Sub(committed), 0))
	}
	require.NotEmpty(b, took)
	slices.Sort(took)
	for name, at := range map[string]int{"p50-ms": len(took) / 2, "p99-ms": len(took) * 99 / 100, "max-ms": len(took) - 1} {
		b.ReportMetric(float64(took[at].Microseconds())/1000, name)
	}
}
