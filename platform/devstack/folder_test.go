package devstack

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
)

func TestFolderIsOneProcess(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "data")
	first, err := OpenFolder(FolderOptions{Dir: dir, Parts: []string{"kafka"}})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := OpenFolder(FolderOptions{Dir: dir, Parts: []string{"kafka"}}); !errors.Is(err, ErrFolderInUse) {
		t.Fatalf("a second process got in: %v", err)
	}
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}
	again, err := OpenFolder(FolderOptions{Dir: dir, Parts: []string{"kafka"}})
	if err != nil {
		t.Fatal(err)
	}
	if err := again.Close(); err != nil {
		t.Fatal(err)
	}
}

func TestFolderOfSomebodyElseIsRefused(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "thesis.tex"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := OpenFolder(FolderOptions{Dir: dir, Parts: []string{"kafka"}}); err == nil {
		t.Fatal("a folder with other files was taken")
	}
}

func TestResetDeletesOnlyItsOwn(t *testing.T) {
	dir := t.TempDir()
	f, err := OpenFolder(FolderOptions{Dir: dir, Parts: []string{"kafka"}})
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close() //nolint:errcheck // the lock goes with the test
	mine, theirs := f.Path("kafka"), filepath.Join(dir, "notes.txt")
	if err := errors.Join(os.Mkdir(mine, 0o700), os.WriteFile(theirs, nil, 0o600)); err != nil {
		t.Fatal(err)
	}
	if err := f.Reset(); err != nil {
		t.Fatal(err)
	}
	if exists(mine) || !exists(theirs) {
		t.Fatalf("after Reset: ours exists %v, theirs exists %v", exists(mine), exists(theirs))
	}
}
