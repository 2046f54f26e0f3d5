//go:build unix

package devstack

import (
	"testing"

	"github.com/stretchr/testify/require"
)

// The reason must be told, not what our own waiting for the server left in its log.
func TestFatalLine(t *testing.T) {
	t.Parallel()
	const (
		panicked = `2026-11-23 08:33:44.660 UTC [31] PANIC:  could not write to file "pg_wal/xlogtemp.31": No space left on device`
		failed   = `2026-11-23 08:33:44.660 UTC [30] FATAL:  could not access the server configuration file`
		refused  = `2026-11-23 08:33:44.671 UTC [32] FATAL:  the database system is not yet accepting connections`
		cut      = `2026-11-23 08:33:44.672 UTC [33] FATAL:  terminating connection due to administrator command`
		after    = `2026-11-23 08:33:44.680 UTC [30] LOG:  database system is shut down`
	)
	for name, c := range map[string]struct{ log, want string }{
		"a full disk":                {panicked + "\n" + refused + "\n" + cut + "\n" + after + "\n", panicked},
		"the end in the last line":   {after + "\n" + failed + "\n", failed},
		"the last of two":            {failed + "\n" + panicked + "\n", panicked},
		"only sessions were refused": {refused + "\n" + after + "\n", after},
		"nothing fatal":              {after + "\n\n", after},
		"nothing":                    {"", ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			require.Equal(t, c.want, fatalLine([]byte(c.log)))
		})
	}
}
