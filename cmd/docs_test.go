package cmd

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// The commands that the documents show exist, with the flags and as many arguments as they show. README's are
// also run, by TestREADME in systemtest, beside a running `dev`.
func TestTheDocumentsCommandsExist(t *testing.T) {
	files, err := filepath.Glob("../docs/*.md")
	require.NoError(t, err)
	program := regexp.MustCompile(`(?m)^(?:go run \.|audittrail) +(.+)$`)
	shell := regexp.MustCompile("(?s)```sh\n(.*?)```")
	found := 0
	for _, file := range append(files, "../README.md") {
		text, err := os.ReadFile(file)
		require.NoError(t, err)
		for _, block := range shell.FindAllStringSubmatch(string(text), -1) {
			for _, line := range program.FindAllStringSubmatch(strings.ReplaceAll(block[1], "\\\n", " "), -1) {
				found++
				t.Run(filepath.Base(file)+": "+line[1], func(t *testing.T) { exists(t, words(line[1])) })
			}
		}
	}
	require.GreaterOrEqual(t, found, 15)
}

// words are a shell line's words up to a comment, a pipe or a redirection.
func words(line string) []string {
	word := regexp.MustCompile(`"[^"]*"|'[^']*'|\S+`)
	var out []string
	for _, w := range word.FindAllString(line, -1) {
		if strings.HasPrefix(w, "#") || w == "|" || strings.HasPrefix(w, ">") || w == "&" {
			break
		}
		out = append(out, strings.Trim(w, `"'`))
	}
	return out
}

func exists(t *testing.T, args []string) {
	t.Helper()
	root, err := newRootCmd()
	require.NoError(t, err)
	c, rest, err := root.Find(args)
	require.NoError(t, err)
	require.NotEqual(t, root, c, "no such command")
	require.NoError(t, c.ParseFlags(rest))
	require.NoError(t, c.ValidateArgs(c.Flags().Args()))
}
