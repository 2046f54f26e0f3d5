package cmd

import (
	"bufio"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"audittrail/modules/client"
	"audittrail/platform/console"
)

func newDeadLettersShowCmd() *cobra.Command {
	c := &cobra.Command{
		Use:   "show ID",
		Short: "Show one dead letter, with the place that is wrong",
		Long: `Show prints a dead letter and, to a caller with pii:read, its value, with the failing place marked where there
is one. --output json prints all of it as the API shows it.`,
		Example: `  audittrail dead-letters show 17
  audittrail dead-letters show 17 --output json | jq -r .value | base64 -d`,
		Args: cobra.ExactArgs(1),
	}
	output := addOutput(c, "text", "json")
	c.RunE = func(c *cobra.Command, args []string) error {
		id, err := idOf(args[0])
		if err != nil {
			return err
		}
		return withAPI(c, func(api *client.Client) error {
			answer, err := api.Get(c.Context(), "/v1/dead-letters/"+string(id), nil)
			if err != nil {
				return err
			}
			if output.value == "json" {
				return printAnswer(c.OutOrStdout(), answer)
			}
			d, err := readDeadLetter(answer)
			if err != nil {
				return err
			}
			return printDeadLetter(c, &d)
		})
	}
	return c
}

func printDeadLetter(c *cobra.Command, d *deadLetter) error {
	screen := c.OutOrStdout()
	out := bufio.NewWriter(screen)
	line := func(name, text string) {
		if text != "" {
			_, _ = fmt.Fprintf(out, "%-10s %s\n", name, console.Visible(text))
		}
	}
	line("id", fmt.Sprint(d.ID))
	line("record", fmt.Sprintf("%s/%d offset %d", d.Topic, d.Partition, d.Offset))
	line("key", string(d.Key))
	line("received", d.ReceivedAt)
	line("reason", d.Reason)
	line("wrong", d.wrong())
	line("status", d.Status)
	if d.Fate != nil {
		line("decided", fmt.Sprintf("%s by %s: %s", d.Fate.At, d.Fate.By, d.Fate.Reason))
		line("event", d.Fate.EventID)
	}
	if d.Retry != nil {
		line("retried", strings.TrimSpace(fmt.Sprintf("%s, failed again: %s %s %s", d.Retry.At, d.Retry.Reason, d.Retry.Field, d.Retry.Detail)))
	}
	if d.Decoded != nil {
		_, _ = out.WriteString("\n")
		printMarked(screen, out, d)
	} else if d.ValueLength != nil {
		line("value", fmt.Sprintf("%d bytes, not shown as a text", *d.ValueLength))
	}
	return out.Flush()
}

// printMarked prints the value, and a line of marks below each line of the failing place.
func printMarked(screen interface{ Write([]byte) (int, error) }, out *bufio.Writer, d *deadLetter) {
	text, place := d.Decoded.Text, d.Decoded.Place
	for at := 0; at <= len(text); {
		end := len(text)
		if n := strings.IndexByte(text[at:], '\n'); n >= 0 {
			end = at + n
		}
		_, _ = out.WriteString(console.Visible(text[at:end]) + "\n")
		if place != nil && place.From <= end && place.To > at && place.From <= len(text) && place.To <= len(text) {
			from, to := max(place.From, at), min(place.To, end)
			before := len([]rune(console.Visible(text[at:from])))
			marks := strings.Repeat("^", max(1, len([]rune(console.Visible(text[from:to])))))
			_, _ = out.WriteString(strings.Repeat(" ", before) + console.Paint(screen, console.Red, marks+" "+console.Visible(d.wrong())) + "\n")
		}
		at = end + 1
	}
}
