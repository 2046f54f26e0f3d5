package files

import (
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

// names are the files of a folder.
func names(t *testing.T, dir string) []string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	require.NoError(t, err)
	all := []string{}
	for _, e := range entries {
		all = append(all, e.Name())
	}
	return all
}

func requireFile(t *testing.T, path, text string, mode fs.FileMode) {
	t.Helper()
	got, err := os.ReadFile(path)
	require.NoError(t, err)
	require.Equal(t, text, string(got))
	info, err := os.Lstat(path)
	require.NoError(t, err)
	require.Equal(t, mode, info.Mode())
}

func TestWriteReplacesWithItsMode(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	path := filepath.Join(dir, "file")
	require.NoError(t, Write(path, []byte("old"), 0o600))
	requireFile(t, path, "old", 0o600)
	require.NoError(t, Write(path, []byte("new"), 0o644))
	requireFile(t, path, "new", 0o644)
	require.Equal(t, []string{"file"}, names(t, dir))
}

// Until it is committed the old file is there, and what is discarded leaves nothing.
func TestAFileIsThereOnceItIsCommitted(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	path := filepath.Join(dir, "file")
	require.NoError(t, Write(path, []byte("old"), 0o600))
	for _, commit := range []bool{false, true} {
		f, err := Create(path, 0o600)
		require.NoError(t, err)
		_, err = f.WriteString("new")
		require.NoError(t, err)
		requireFile(t, path, "old", 0o600)
		require.Len(t, names(t, dir), 2)
		if commit {
			require.NoError(t, f.Commit())
			requireFile(t, path, "new", 0o600)
		} else {
			require.NoError(t, f.Discard())
			requireFile(t, path, "old", 0o600)
		}
		require.Equal(t, []string{"file"}, names(t, dir))
	}
}

// A commit that fails leaves what was there and nothing beside it.
func TestACommitThatFailsLeavesNothing(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	path := filepath.Join(dir, "folder")
	require.NoError(t, os.Mkdir(path, 0o700))
	err := Write(path, []byte("text"), 0o600)
	require.ErrorContains(t, err, "rename to "+path)
	require.NotContains(t, err.Error(), ".partial")
	require.Equal(t, []string{"folder"}, names(t, dir))
}

// A failure that stays has one text, so that it is told once.
func TestErrorsNameNoTemporaryFile(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "gone", "file")
	first, second := Write(path, []byte("{}"), 0o600), Write(path, []byte("{}"), 0o600)
	require.ErrorIs(t, first, fs.ErrNotExist)
	require.Equal(t, first.Error(), second.Error())
	require.Contains(t, first.Error(), path)
	require.ErrorIs(t, SyncFolder(path), fs.ErrNotExist)
}

func TestWriteNewNeverReplaces(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	path, link := filepath.Join(dir, "key"), filepath.Join(dir, "link")
	require.NoError(t, WriteNew(path, []byte("first"), 0o600))
	require.ErrorIs(t, WriteNew(path, []byte("second"), 0o600), fs.ErrExist)
	requireFile(t, path, "first", 0o600)
	if err := os.Symlink("nothing", link); err != nil {
		t.Skip("no links here: ", err)
	}
	require.ErrorIs(t, WriteNew(link, []byte("second"), 0o600), fs.ErrExist)
	require.Equal(t, []string{"key", "link"}, names(t, dir))
}
