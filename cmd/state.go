package cmd

import (
	"fmt"
	"io"
	"net/url"
	"strconv"
	"strings"
	"time"

	"audittrail/platform/console"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"github.com/spf13/cobra"
)

// stateFlags are the flags of `audittrail state`.
type stateFlags struct {
	at, diff string
	version  int32
	output   *outputFormat
}

func newStateCmd() *cobra.Command {
	c := &cobra.Command{
		Use:   "state TYPE ID",
		Short: "Show an aggregate as it stood at a moment, or what changed since",
		Long: `State folds an aggregate's events into its state, through the API at client.url, with the token of
client.token. Without --at and --version it folds all events.

--diff prints what changed between two moments, and the event that caused each change. Give two times
or two versions.`,
		Example: `  audittrail state Order SO-1001
  audittrail state Order SO-1001 --at 2026-03-01T12:00:00Z
  audittrail state Order SO-1001 --version 3 --output json
  audittrail state Order SO-1001 --diff 1..3
  audittrail state Order SO-1001 --diff 36h..0s`,
		Args: cobra.ExactArgs(2),
	}
	var f stateFlags
	flags := c.Flags()
	flags.StringVar(&f.at, "at", "", "as it stood at this moment: RFC 3339, or how long ago, as 90m or 36h")
	flags.Int32Var(&f.version, "version", 0, "as it stood with this version")
	flags.StringVar(&f.diff, "diff", "", "what changed between two moments or versions: FROM..TO")
	c.MarkFlagsMutuallyExclusive("at", "version", "diff")
	f.output = addOutput(c, "text", "json")
	c.RunE = func(c *cobra.Command, args []string) error { return runState(c, args[0], args[1], f) }
	return c
}

func runState(c *cobra.Command, aggregateType, id string, f stateFlags) error {
	query, from, to, err := f.read(c, time.Now())
	if err != nil {
		return err
	}
	if aggregateType == "" || id == "" {
		return wrongUsage("TYPE and ID must not be empty")
	}
	cfg, err := loadConfig(c)
	if err != nil {
		return err
	}
	api, err := openAPI(c, cfg)
	if err != nil {
		return err
	}
	var answer jsontext.Value
	if from != "" {
		answer, err = api.Diff(c.Context(), aggregateType, id, from, to)
	} else {
		answer, err = api.State(c.Context(), aggregateType, id, query)
	}
	if err != nil {
		return err
	}
	switch out := c.OutOrStdout(); {
	case f.output.value == "json":
		return printAnswer(out, answer)
	case from != "":
		return printDiff(out, answer)
	default:
		return printState(out, answer)
	}
}

// read reads the flags as the API's parameters. from is empty where no diff is wanted.
func (f stateFlags) read(c *cobra.Command, now time.Time) (query url.Values, from, to string, err error) {
	query = url.Values{}
	if c.Flags().Changed("version") {
		if f.version < 0 {
			return nil, "", "", wrongUsage("--version must not be negative")
		}
		query.Set("version", strconv.Itoa(int(f.version)))
	}
	if c.Flags().Changed("at") {
		at, err := parseMoment(f.at, now)
		if err != nil {
			return nil, "", "", wrongUsage("--at must be RFC 3339, as 2026-01-31T12:00:00Z, or how long ago, as 90m or 36h")
		}
		query.Set("at", at)
	}
	if !c.Flags().Changed("diff") {
		return query, "", "", nil
	}
	first, second, found := strings.Cut(f.diff, "..")
	if from, to = diffBound(first, now), diffBound(second, now); !found || from == "" || to == "" {
		return nil, "", "", wrongUsage("--diff must be FROM..TO: two versions, as 1..3, or two times, as 2026-01-31T12:00:00Z..2026-02-01T00:00:00Z or 36h..0s")
	}
	return query, from, to, nil
}

// diffBound is a version or a time as the API has it; "" where it is neither.
func diffBound(text string, now time.Time) string {
	if n, err := strconv.ParseInt(text, 10, 32); err == nil && n >= 0 {
		return strconv.FormatInt(n, 10)
	}
	at, err := parseMoment(text, now)
	if err != nil {
		return ""
	}
	return at
}

// printAnswer prints the API's answer for programs.
func printAnswer(w io.Writer, answer jsontext.Value) error {
	if err := answer.Indent(jsontext.WithIndent("  ")); err != nil {
		return fmt.Errorf("the API's answer holds no JSON: %w", err)
	}
	_, err := w.Write(append(console.AppendVisibleJSON(nil, answer), '\n'))
	return err
}

func printState(w io.Writer, answer jsontext.Value) error {
	var s struct {
		AggregateType, AggregateID string
		Version, Position          int64
		AsOf                       string
		Events                     int64
		State                      jsontext.Value
		Versions                   versionReport
	}
	if err := json.Unmarshal(answer, &s, json.MatchCaseInsensitiveNames(true)); err != nil {
		return fmt.Errorf("the API's answer is no state: %w", err)
	}
	if err := s.State.Indent(jsontext.WithIndent("  ")); err != nil {
		return fmt.Errorf("the API's answer is no state: %w", err)
	}
	_, err := fmt.Fprintf(w, "%s %s: version %d, as of %s, %d events, position %d\n%s%s\n", console.Visible(s.AggregateType), console.Visible(s.AggregateID),
		s.Version, console.Visible(s.AsOf), s.Events, s.Position, s.Versions.text(), console.Paint(w, console.Cyan, string(console.AppendVisibleJSON(nil, s.State))))
	return err
}

// versionReport is what is odd about an aggregate's versions.
type versionReport struct {
	Counts struct{ Gaps, Repeats, Disorder int64 }
}

// text is a line for people; none where nothing is odd.
func (r versionReport) text() string {
	if c := r.Counts; c.Gaps+c.Repeats+c.Disorder > 0 {
		return fmt.Sprintf("versions: %d gaps, %d repeats, %d out of order\n", c.Gaps, c.Repeats, c.Disorder)
	}
	return ""
}

func printDiff(w io.Writer, answer jsontext.Value) error {
	var d struct {
		Changes []struct {
			Op, Path, EventID string
			Value             jsontext.Value
		}
		Versions versionReport
	}
	if err := json.Unmarshal(answer, &d, json.MatchCaseInsensitiveNames(true)); err != nil {
		return fmt.Errorf("the API's answer is no diff: %w", err)
	}
	var b strings.Builder
	b.WriteString(d.Versions.text())
	if len(d.Changes) == 0 {
		b.WriteString("nothing changed\n")
	}
	for _, change := range d.Changes {
		sign, colour := "~", console.Yellow
		switch change.Op {
		case "add":
			sign, colour = "+", console.Green
		case "remove":
			sign, colour = "-", console.Red
		}
		line := sign + " " + console.Visible(change.Path)
		if change.Value != nil {
			line += " = " + string(console.AppendVisibleJSON(nil, change.Value))
		}
		b.WriteString(console.Paint(w, colour, line) + "  (event " + console.Visible(change.EventID) + ")\n")
	}
	_, err := io.WriteString(w, b.String())
	return err
}
