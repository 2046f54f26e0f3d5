//go:build unix

package devstack

import (
	"os"
	"path/filepath"
	"strings"
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

// What sessions did before is not why the server went down.
func TestEndingLine(t *testing.T) {
	t.Parallel()
	const (
		session = `2026-11-23 08:33:44.600 UTC [33] FATAL:  role "nobody" does not exist`
		told    = `2026-11-23 08:33:44.660 UTC [30] LOG:  received immediate shutdown request`
		crashed = `2026-11-23 08:33:44.660 UTC [30] LOG:  server process (PID 41) was terminated by signal 9: Killed`
		failed  = `2026-11-23 08:33:44.670 UTC [30] FATAL:  could not open file "global/pg_control": No such file or directory`
		after   = `2026-11-23 08:33:44.680 UTC [30] LOG:  database system is shut down`
	)
	for name, c := range map[string]struct{ log, want string }{
		"it was told to":        {session + "\n" + told + "\n" + after + "\n", told},
		"a process was killed":  {session + "\n" + crashed + "\n" + after + "\n", crashed},
		"it could not go on":    {failed + "\n" + after + "\n", failed},
		"nothing but its end":   {after + "\n", after},
		"it had no time to say": {"", ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			require.Equal(t, c.want, endingLine([]byte(c.log)))
		})
	}
}

func TestLogEndIsBoundedAndBeginsWithALine(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "log")
	require.NoError(t, os.WriteFile(path, []byte(strings.Repeat("0123456789 a line\n", 1000)+"the end\n"), 0o600))
	end, err := logEnd(path)
	require.NoError(t, err)
	require.Less(t, len(end), logEndBytes)
	require.True(t, strings.HasPrefix(string(end), "0123456789 a line\n"))
	require.True(t, strings.HasSuffix(string(end), "\nthe end\n"))
	_, err = logEnd(path + ".none")
	require.Error(t, err)
}
