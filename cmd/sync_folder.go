package cmd

import (
	"errors"
	"os"
	"path/filepath"
)

// syncFolder makes the name of a file last, as syncing the file makes what is in it last. Not all systems can;
// where one can't the file is there all the same.
func syncFolder(file string) {
	if folder, err := os.Open(filepath.Dir(file)); err == nil {
		_ = errors.Join(folder.Sync(), folder.Close())
	}
}
