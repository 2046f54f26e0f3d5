package cmd

import (
	"bytes"
	"context"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/spf13/cobra"
	"github.com/stretchr/testify/require"
)

var update = flag.Bool("update", false, "write the golden files anew")

// invoke runs the program's command line and gives its exit status and output.
func invoke(t *testing.T, args ...string) (status int, stdout, stderr string) {
	t.Helper()
	var out, errs bytes.Buffer
	status = run(context.Background(), args, &out, &errs)
	return status, out.String(), errs.String()
}

// commands are all commands that have a help of ours, by their path without the program's name.
func commands(t *testing.T) [][]string {
	t.Helper()
	rootCmd, err := newRootCmd()
	require.NoError(t, err)
	var out [][]string
	var walk func(*cobra.Command)
	walk = func(c *cobra.Command) {
		if c.Name() == "completion" || c.Name() == "help" { // the library's
			return
		}
		out = append(out, strings.Fields(c.CommandPath())[1:])
		for _, sub := range c.Commands() {
			walk(sub)
		}
	}
	walk(rootCmd)
	return out
}

// TestHelp holds the help of every command to a file: go test ./cmd -run Help -update
func TestHelp(t *testing.T) {
	dir := filepath.Join("testdata", "help")
	written := map[string]bool{}
	for _, path := range commands(t) {
		name := strings.Join(append([]string{"audittrail"}, path...), "-") + ".txt"
		written[name] = true
		t.Run(name, func(t *testing.T) {
			status, got, stderr := invoke(t, append(path, "--help")...)
			require.Equal(t, statusDone, status)
			require.Empty(t, stderr)
			file := filepath.Join(dir, name)
			if *update {
				require.NoError(t, os.MkdirAll(dir, 0o750))
				require.NoError(t, os.WriteFile(file, []byte(got), 0o600))
			}
			want, err := os.ReadFile(file)
			require.NoError(t, err, "run with -update")
			require.Equal(t, string(want), got, "run with -update")
		})
	}
	entries, err := os.ReadDir(dir)
	require.NoError(t, err)
	for _, e := range entries {
		require.True(t, written[e.Name()], "%s is of no command: remove it", e.Name())
	}
}

func TestEveryCommandTeaches(t *testing.T) {
	rootCmd, err := newRootCmd()
	require.NoError(t, err)
	for _, path := range commands(t) {
		c, _, err := rootCmd.Find(path)
		require.NoError(t, err)
		require.NotEmpty(t, c.Short, c.CommandPath())
		if !c.HasSubCommands() {
			require.NotEmpty(t, c.Example, c.CommandPath())
		}
	}
}
