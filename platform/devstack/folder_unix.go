//go:build unix

package devstack

import (
	"errors"
	"os"
	"syscall"
)

// flock locks an open file without waiting. The lock goes with the last descriptor; Go opens files
// close-on-exec, so child processes hold none.
func flock(f *os.File) error {
	err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
	if errors.Is(err, syscall.EWOULDBLOCK) {
		return ErrFolderInUse
	}
	return err
}
