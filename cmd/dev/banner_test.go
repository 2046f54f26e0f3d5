package dev

import (
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

// The token itself is for a screen only: what goes to a file or a pipe is kept there.
func TestBannerShowsTheTokenOnATerminalOnly(t *testing.T) {
	folder, err := openFolder(filepath.Join(t.TempDir(), "data"))
	require.NoError(t, err)
	defer folder.Close() //nolint:errcheck // a lock on a file that goes
	s := &stack{folder: folder, token: "eyJ.the.token"}
	up := map[string]string{"api": "127.0.0.1:1", "admin": "127.0.0.1:2"}
	require.NotContains(t, s.banner(up), s.token)
	require.Contains(t, s.banner(up), "  token       in "+s.short(partToken)+"\n")
	s.terminal = true
	require.Contains(t, s.banner(up), "\n"+s.token+"\n")
	require.Contains(t, s.banner(up), "$(cat ")
	s.token = ""
	require.NotContains(t, s.banner(up), "token")
}
