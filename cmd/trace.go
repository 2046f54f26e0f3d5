package cmd

import (
	"bufio"
	"fmt"
	"io"

	"audittrail/platform/console"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"github.com/spf13/cobra"
)

func newTraceCmd() *cobra.Command {
	c := &cobra.Command{
		Use:   "trace ID",
		Short: "Draw a workflow as a tree of causes and effects",
		Long: `Trace prints all events that carry the correlation id ID, each below the event that caused it, with
the time between the two. It asks the API at client.url, with the token of client.token.`,
		Example: `  audittrail trace checkout-551
  audittrail trace checkout-551 --output json`,
		Args: cobra.ExactArgs(1),
	}
	output := addOutput(c, "text", "json")
	c.RunE = func(c *cobra.Command, args []string) error { return runTrace(c, args[0], output.value) }
	return c
}

func runTrace(c *cobra.Command, id, output string) error {
	if id == "" {
		return wrongUsage("ID must not be empty")
	}
	cfg, err := loadConfig(c)
	if err != nil {
		return err
	}
	api, err := openAPI(c, cfg)
	if err != nil {
		return err
	}
	answer, err := api.Trace(c.Context(), id)
	if err != nil {
		return err
	}
	if output == "json" {
		return printAnswer(c.OutOrStdout(), answer)
	}
	return printTrace(c.OutOrStdout(), answer)
}

// traceNode is an event of a trace, and what it caused.
type traceNode struct {
	Event struct {
		EventID, EventType, AggregateType, AggregateID, Timestamp string
	}
	AfterMs  jsontext.Value
	Children []traceNode
}

func printTrace(w io.Writer, answer jsontext.Value) error {
	var t struct {
		CorrelationID  string
		Events         int64
		Roots, Orphans []traceNode
		Cycles         [][]string
		Missing        []string
		Truncated      bool
	}
	if err := json.Unmarshal(answer, &t, json.MatchCaseInsensitiveNames(true)); err != nil {
		return fmt.Errorf("the API's answer is no trace: %w", err)
	}
	p := tracePrinter{w, bufio.NewWriter(w)}
	p.line(fmt.Sprintf("%s: %d events", console.Visible(t.CorrelationID), t.Events))
	p.nodes(t.Roots, "")
	if len(t.Orphans) > 0 {
		p.line("caused by events outside this trace:")
		p.nodes(t.Orphans, "")
	}
	for _, id := range t.Missing {
		p.line(console.Paint(w, console.Red, "missing: no event has the id "+console.Visible(id)))
	}
	for _, cycle := range t.Cycles {
		p.line(console.Paint(w, console.Red, fmt.Sprintf("cycle: %d events cause each other, from %s on", len(cycle), console.Visible(cycle[0]))))
	}
	if t.Truncated {
		p.line(console.Paint(w, console.Yellow, "there are more events than one trace shows"))
	}
	return p.out.Flush()
}

// tracePrinter draws trees. Flush tells of what went wrong in writing.
type tracePrinter struct {
	screen io.Writer
	out    *bufio.Writer
}

func (p tracePrinter) line(text string) { _, _ = p.out.WriteString(text + "\n") }

func (p tracePrinter) nodes(nodes []traceNode, indent string) {
	for i, n := range nodes {
		branch, below := "├─ ", "│  "
		if i == len(nodes)-1 {
			branch, below = "└─ ", "   "
		}
		when := n.Event.Timestamp
		if n.AfterMs.Kind() == '0' {
			when = "after " + string(n.AfterMs) + " ms"
		}
		p.line(indent + branch + console.Paint(p.screen, console.Cyan, console.Visible(n.Event.EventType)) + "  " + console.Visible(n.Event.AggregateType) + " " +
			console.Visible(n.Event.AggregateID) + "  " + console.Paint(p.screen, console.Yellow, console.Visible(when)) + "  " + console.Visible(n.Event.EventID))
		p.nodes(n.Children, indent+below)
	}
}
