//go:build !linux

package postgres

import "syscall"

// limitUnacknowledged has no portable form; keepalives have to do.
func limitUnacknowledged(string, string, syscall.RawConn) error { return nil }
