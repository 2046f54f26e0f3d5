package console

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestSparkline(t *testing.T) {
	require.Equal(t, "▁ █▄", Sparkline([]int64{1, 0, 1000, 500}))
	require.Empty(t, Sparkline(nil))
	require.Equal(t, "  ", Sparkline([]int64{0, -1}))
}

func TestBar(t *testing.T) {
	require.Equal(t, "████", Bar(10, 10, 4))
	require.Equal(t, "██▌", Bar(5, 8, 4))
	require.Equal(t, "▏", Bar(1, 1_000_000, 4), "what there is can be seen")
	require.Empty(t, Bar(0, 10, 4))
	require.Empty(t, Bar(3, 0, 4))
}
