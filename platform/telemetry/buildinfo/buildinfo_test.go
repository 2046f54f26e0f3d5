package buildinfo

import (
	"runtime/debug"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestFrom(t *testing.T) {
	b := &debug.BuildInfo{GoVersion: "go1.26.0", Main: debug.Module{Version: "v1.2.3"}, Settings: []debug.BuildSetting{
		{Key: "vcs.revision", Value: "abc"}, {Key: "vcs.modified", Value: "true"}, {Key: "GOOS", Value: "linux"},
		{Key: "GOARCH", Value: "arm64"}, {Key: "vcs.time", Value: "2026-01-02T03:04:05Z"},
	}}
	require.Equal(t, Info{"v1.2.3", "abc+dirty", "2026-01-02T03:04:05Z", "go1.26.0", "linux/arm64"}, from(b))
	require.Equal(t, Info{"unknown", "unknown", "unknown", "unknown", "unknown"}, from(&debug.BuildInfo{}))
	require.NotEmpty(t, Read().Go)
}
