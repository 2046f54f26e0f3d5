//go:build !unix

package devstack

import "os"

func flock(*os.File) error { return errUnsupported }
