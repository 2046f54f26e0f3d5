package cmd

import (
	"errors"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"audittrail/cmd/app"
	"audittrail/modules/event"
	"audittrail/modules/publish"
	"audittrail/platform/console"
)

// checkFile judges each line of a file and sends nothing. It names each line that is no event as it meets it,
// so that a file of any length takes little memory.
func checkFile(c *cobra.Command, cfg app.Config, file string, asJSON bool) error {
	in, err := console.OpenInput(c.Context(), file, c.InOrStdin())
	if err != nil {
		return err
	}
	defer in.Close() //nolint:errcheck // it was only read
	out := c.OutOrStdout()
	tally, err := publish.Check(c.Context(), in, cfg.Ingest.Rules(), func(line int64, why *event.Rejected) error {
		return printBadLine(out, asJSON, line, why)
	})
	if c.Context().Err() != nil {
		return errors.New("interrupted")
	}
	if err != nil {
		return fmt.Errorf("check %s: %w", file, err)
	}
	if err := printTally(out, asJSON, tally); err != nil {
		return err
	}
	if tally.Bad > 0 {
		return fmt.Errorf("%s of %s", console.Counted(tally.Bad, "line is no event", "lines are no events"), file)
	}
	return nil
}

func printBadLine(w io.Writer, asJSON bool, line int64, why *event.Rejected) error {
	if asJSON {
		return console.PrintJSON(w, struct {
			Line   int64        `json:"line"`
			Reason event.Reason `json:"reason"`
			Field  string       `json:"field"`
			Detail string       `json:"detail"`
		}{line, why.Reason, why.Field, why.Detail})
	}
	field := ""
	if why.Field != "" {
		field = console.Visible(why.Field) + " "
	}
	_, err := fmt.Fprintf(w, "line %d: %s%s (%s)\n", line, field, why.Detail, why.Reason)
	return err
}

func printTally(w io.Writer, asJSON bool, t publish.Tally) error {
	if asJSON {
		return console.PrintJSON(w, t)
	}
	text := fmt.Sprintf("%s good, %s not", console.Counted(t.Good, "line is", "lines are"), console.Grouped(t.Bad))
	if t.Blank > 0 {
		text += fmt.Sprintf("; %s skipped", console.Counted(t.Blank, "blank line was", "blank lines were"))
	}
	_, err := fmt.Fprintln(w, text)
	return err
}
