//go:build !unix

package notary

import (
	"errors"
	"os"
)

// tryLock fails: without locks a state file could go back.
func tryLock(*os.File) (bool, error) { return false, errors.ErrUnsupported }
