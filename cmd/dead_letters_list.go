package cmd

import (
	"bufio"
	"fmt"
	"net/url"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"audittrail/modules/client"
	"audittrail/platform/console"
)

func newDeadLettersListCmd() *cobra.Command {
	c := &cobra.Command{
		Use:   "list",
		Short: "List dead letters, the latest first, with what is wrong",
		Long: `List prints dead letters, those that are pending unless --status says otherwise. --output ndjson prints
each as the API shows it, a line a dead letter.`,
		Example: `  audittrail dead-letters list
  audittrail dead-letters list --topic orders --reason missing_field --from 24h
  audittrail dead-letters list --status redriven --output ndjson`,
		Args: cobra.NoArgs,
	}
	var filter letterFilter
	filter.add(c)
	status := c.Flags().String("status", "pending", "pending, redriven, dismissed, or any")
	limit := c.Flags().Int("limit", 50, "at most so many; 0 for all")
	output := addOutput(c, "table", "ndjson")
	c.RunE = func(c *cobra.Command, _ []string) error {
		values, err := filter.values(c, time.Now())
		if err != nil {
			return err
		}
		query := url.Values{}
		for name, value := range values {
			query.Set(name, value)
		}
		if *status != "any" {
			query.Set("status", *status)
		}
		if *limit < 0 {
			return wrongUsage("--limit must not be negative")
		}
		return withAPI(c, func(api *client.Client) error { return listDeadLetters(c, api, query, *limit, output.value) })
	}
	return c
}

func listDeadLetters(c *cobra.Command, api *client.Client, query url.Values, limit int, output string) error {
	list := api.List("/v1/dead-letters", query, limit, "")
	if output == "ndjson" {
		out := bufio.NewWriter(c.OutOrStdout())
		for item, err := range list.All(c.Context()) {
			if err == nil {
				err = ndjsonPrinter{out}.event(item)
			}
			if err != nil {
				_ = out.Flush() // the first error says more
				return err
			}
		}
		return out.Flush()
	}
	table := console.NewTable(c.OutOrStdout(), "ID", "RECEIVED", "RECORD", "STATUS", "REASON", "WRONG", "KEY")
	for item, err := range list.All(c.Context()) {
		if err != nil {
			return err
		}
		d, err := readDeadLetter(item)
		if err != nil {
			return err
		}
		state := d.Status
		if d.Retry != nil && d.Fate == nil {
			state = "failed again"
		}
		if err := table.Add(strconv.FormatInt(d.ID, 10), d.ReceivedAt, fmt.Sprintf("%s/%d %d", d.Topic, d.Partition, d.Offset), state, d.Reason, d.wrong(), string(d.Key)); err != nil {
			return err
		}
	}
	if err := table.Flush(); err != nil {
		return err
	}
	if list.NextCursor() != "" {
		_, _ = fmt.Fprintf(c.ErrOrStderr(), "there are more: --limit 0 lists all\n")
	}
	return nil
}
