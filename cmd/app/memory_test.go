package app

import (
	"errors"
	"math"
	"runtime/debug"
	"testing"

	"github.com/stretchr/testify/require"
)

// The tests set the limit of their own process, so they do not run beside others.

func TestTheMemoryLimitFollowsTheCgroup(t *testing.T) {
	before := debug.SetMemoryLimit(math.MaxInt64)
	defer debug.SetMemoryLimit(before)
	none := func() (uint64, error) { return 0, errors.New("no limit") }
	of := func(n uint64) func() (uint64, error) { return func() (uint64, error) { return n, nil } }
	ingest := Config{Roles: []string{"ingest"}}
	for _, c := range []struct {
		name   string
		cfg    Config
		cgroup func() (uint64, error)
		want   int64
	}{
		{"no cgroup", Config{Roles: []string{"api"}}, none, math.MaxInt64},
		{"a cgroup", Config{Roles: []string{"api"}}, of(1000 << 20), 900 << 20},
		{"all of the machine", Config{Roles: []string{"api"}}, of(math.MaxUint64), math.MaxInt64},
		{"ingest alone", ingest, of(1000 << 20), ingestMemory},
		{"ingest in a small cgroup", ingest, of(100 << 20), 90 << 20},
	} {
		t.Run(c.name, func(t *testing.T) {
			restore := limitMemory(c.cfg, c.cgroup)
			require.Equal(t, c.want, debug.SetMemoryLimit(-1))
			restore()
			require.Equal(t, int64(math.MaxInt64), debug.SetMemoryLimit(-1))
		})
	}
	t.Run("GOMEMLIMIT", func(t *testing.T) {
		debug.SetMemoryLimit(77 << 20)
		defer limitMemory(ingest, of(1000<<20))()
		require.Equal(t, int64(77<<20), debug.SetMemoryLimit(-1))
	})
}
