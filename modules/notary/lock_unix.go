//go:build unix

package notary

import (
	"errors"
	"os"
	"syscall"
)

// tryLock locks an open file, unless somebody else has. The lock goes with the last descriptor; Go opens
// files close-on-exec, so child processes hold none.
func tryLock(f *os.File) (bool, error) {
	err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
	if errors.Is(err, syscall.EWOULDBLOCK) || errors.Is(err, syscall.EINTR) {
		return false, nil
	}
	return err == nil, err
}
