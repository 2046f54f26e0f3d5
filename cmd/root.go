// Package cmd is the command line: one file a subcommand, which reads flags, calls a module and prints.
// Nothing else ends the process, and nothing outside of cmd reads os.Args and the environment, or writes to stdout.
package cmd

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"audittrail/cmd/app"
	"audittrail/platform/config"
	"audittrail/platform/console"
)

// Exit statuses. Scripts rely on them.
const (
	statusDone      = 0
	statusFailed    = 1
	statusUsage     = 2 // wrong flags, arguments or configuration
	statusTampering = 3 // verification found what nobody should have changed
)

// statusError is an error that decides the exit status.
type statusError struct {
	status int
	err    error
}

func (e *statusError) Error() string { return e.err.Error() }
func (e *statusError) Unwrap() error { return e.err }

// wrongUsage is an error in how the command was called.
func wrongUsage(format string, args ...any) error {
	return &statusError{statusUsage, fmt.Errorf(format, args...)}
}

// Execute runs the program and ends it. SIGINT, SIGTERM and a closed terminal ask it to stop; a second
// signal ends it at once.
func Execute() {
	os.Exit(run(stopContext(), os.Args[1:], os.Stdout, os.Stderr))
}

// run is Execute without the process around it.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	root, err := newRootCmd()
	if err != nil {
		_, _ = fmt.Fprintln(stderr, "audittrail:", err)
		return statusFailed
	}
	root.SetArgs(args)
	root.SetOut(stdout)
	root.SetErr(stderr)
	begun := false
	markBegin(root, &begun)
	called, err := root.ExecuteContextC(ctx)
	if err == nil {
		return statusDone
	}
	status := statusOf(err, begun)
	_, _ = fmt.Fprintln(stderr, "audittrail:", printableError(err))
	if status == statusUsage && !begun {
		_, _ = fmt.Fprintf(stderr, "See '%s --help'.\n", called.CommandPath())
	}
	return status
}

// printableError is an error's text without secrets that were given by mistake, and without what a file's
// name could do to the terminal. Its lines stay, since an error may be several; all but the first are
// indented, so that none which a server has put into its message passes for one of ours.
func printableError(err error) string {
	lines := strings.Split(config.MaskPasswords(err.Error()), "\n")
	for i, line := range lines {
		lines[i] = console.Visible(strings.ReplaceAll(line, "\t", " "))
		if i > 0 {
			lines[i] = "  " + strings.TrimLeft(lines[i], " ")
		}
	}
	return strings.Join(lines, "\n")
}

// markBegin notes that a command's own code has begun: an error before that is cobra's, about flags
// and arguments.
func markBegin(c *cobra.Command, begun *bool) {
	if inner := c.RunE; inner != nil {
		c.RunE = func(c *cobra.Command, args []string) error {
			*begun = true
			return inner(c, args)
		}
	}
	for _, sub := range c.Commands() {
		markBegin(sub, begun)
	}
}

func statusOf(err error, begun bool) int {
	var decided *statusError
	var invalid *config.Error
	switch {
	case errors.As(err, &decided):
		return decided.status
	case errors.As(err, &invalid), !begun:
		return statusUsage
	}
	return statusFailed
}

func newRootCmd() (*cobra.Command, error) {
	schema, err := app.NewSchema()
	if err != nil {
		return nil, err
	}
	root := &cobra.Command{
		Use:   "audittrail",
		Short: "Store business events from Kafka exactly once, and serve their history",
		Long: `audittrail stores the business events that services publish to Kafka, each exactly once, in an
append-only PostgreSQL event store, and serves their history over a secured REST API. Each event has
a proof that it is in that history, unaltered, which 'audittrail verify' checks with a public key.

Exit status: 0 done, 1 failed, 2 wrong usage, 3 verification found tampering.`,
		Example: `  # in production: bring the schema up to date, then run every role
  audittrail migrate up --postgres.url "$OWNER_URL"
  audittrail serve --config audittrail.yaml`,
		SilenceErrors: true, // run prints them
		SilenceUsage:  true,
		Args:          subcommandOnly,
		RunE:          showHelp,
	}
	schema.AddFlags(root.PersistentFlags())
	addVersion(root)
	root.SetFlagErrorFunc(suggestFlag)
	root.SetUsageFunc(printUsage)
	root.AddCommand(subcommands(schema)...)
	root.InitDefaultCompletionCmd()
	return root, nil
}

// subcommands lists all commands.
func subcommands(schema *config.Schema) []*cobra.Command {
	return []*cobra.Command{
		newDevCmd(),
		newServeCmd(),
		newReadyCmd(),
		newMigrateCmd(),
		newPublishCmd(),
		newEventsCmd(),
		newTraceCmd(),
		newStateCmd(),
		newStatsCmd(),
		newAnomaliesCmd(),
		newReplayCmd(),
		newExportCmd(),
		newDeadLettersCmd(),
		newVerifyCmd(),
		newReconcileCmd(),
		newTopicsCmd(),
		newKeysCmd(),
		newTokenCmd(),
		newSampleCmd(),
		newConfigCmd(schema),
		newVersionCmd(),
	}
}

// subcommandOnly refuses what is no subcommand, and suggests the nearest one.
func subcommandOnly(c *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	var names []string
	for _, sub := range c.Commands() {
		names = append(names, sub.Name())
	}
	hint := ""
	if best := config.Nearest(args[0], names); best != "" {
		hint = ", did you mean " + best + "?"
	}
	return wrongUsage("unknown command %q for %q%s", args[0], c.CommandPath(), hint)
}

// showHelp is what a command does that is nothing without a subcommand.
func showHelp(c *cobra.Command, _ []string) error { return c.Help() }
