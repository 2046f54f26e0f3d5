package cmd

import (
	"github.com/spf13/cobra"

	"audittrail/modules/client"
	"audittrail/modules/event"
	"audittrail/platform/console"
)

func newReplayCmd() *cobra.Command {
	c := &cobra.Command{
		Use:   "replay",
		Short: "Send stored events to a Kafka topic, a webhook or a file once more",
		Long: `A replay is a job of the API at client.url: the role replay works at it, also after this command has
ended. Look at what would be sent with 'preview', then 'start' it. Each event is sent at least once, in the
order in which the events were stored; a repeat is known by its position.`,
		Example: `  audittrail replay preview --to-topic orders-copy --event-type OrderCreated
  audittrail replay start --to-topic orders-copy --event-type OrderCreated --reason 'rebuild the index' --follow
  audittrail replay list
  audittrail replay pause 7f3c1a52-90d4-4c3e-8a6b-0f5d6a7b8c9d`,
		Args: subcommandOnly,
		RunE: func(c *cobra.Command, _ []string) error { return c.Help() },
	}
	c.AddCommand(newReplayPreviewCmd(), newReplayStartCmd(), newReplayListCmd(), newReplayShowCmd())
	for _, a := range []struct{ name, short string }{
		{"pause", "Stop a replay for now"}, {"resume", "Go on with a paused or failed replay"},
		{"cancel", "End a replay for good"}, {"retry", "Send again what a replay could not deliver"},
	} {
		c.AddCommand(newReplayActionCmd(a.name, a.short))
	}
	return c
}

func newReplayListCmd() *cobra.Command {
	c := &cobra.Command{
		Use:     "list",
		Short:   "List replays, the latest first",
		Long:    `Lists the replays that you may see, the latest first.`,
		Example: `  audittrail replay list --limit 20`,
		Args:    cobra.NoArgs,
	}
	limit := c.Flags().Int("limit", 50, "most replays to list; 0 for all")
	output := addOutput(c, "table", "ndjson")
	c.RunE = func(c *cobra.Command, _ []string) error {
		if *limit < 0 {
			return wrongUsage("--limit must not be negative")
		}
		return withAPI(c, func(api *client.Client) error { return listReplays(c, api, *limit, output.value) })
	}
	return c
}

func listReplays(c *cobra.Command, api *client.Client, limit int, form string) error {
	table := console.NewTable(c.OutOrStdout(), "ID", "STATE", "SENT", "TOTAL", "FAILED", "BY", "CREATED", "REASON")
	for item, err := range api.List("/v1/replays", nil, limit, "").All(c.Context()) {
		if err != nil {
			return err
		}
		if form == "ndjson" {
			if _, err := c.OutOrStdout().Write(append(console.AppendVisibleJSON(nil, item), '\n')); err != nil {
				return err
			}
			continue
		}
		r, err := readReplay(item)
		if err != nil {
			return err
		}
		err = table.Add(r.ID, r.State, console.Grouped(r.Sent), console.Grouped(r.Total), console.Grouped(r.Failed+r.Waiting), r.CreatedBy, r.CreatedAt, r.Reason)
		if err != nil {
			return err
		}
	}
	if form == "ndjson" {
		return nil
	}
	return table.Flush()
}

func newReplayShowCmd() *cobra.Command {
	c := &cobra.Command{
		Use:     "show ID",
		Short:   "Show a replay, and follow it if you want",
		Long:    `Shows how far a replay has come. With --follow it goes on showing until the replay ends.`,
		Example: `  audittrail replay show 7f3c1a52-90d4-4c3e-8a6b-0f5d6a7b8c9d --follow`,
		Args:    cobra.ExactArgs(1),
	}
	follow := c.Flags().Bool("follow", false, "show how far it has come until it ends")
	output := addOutput(c, "text", "json")
	c.RunE = func(c *cobra.Command, args []string) error {
		path, err := replayPath(args[0])
		if err != nil {
			return err
		}
		return withAPI(c, func(api *client.Client) error {
			answer, err := api.Get(c.Context(), path, nil)
			if err == nil && *follow {
				answer, err = followReplay(c, api, answer)
			}
			if err != nil {
				return err
			}
			return printReplay(c.OutOrStdout(), answer, output.value)
		})
	}
	return c
}

func newReplayActionCmd(name, short string) *cobra.Command {
	c := &cobra.Command{
		Use:     name + " ID",
		Short:   short,
		Long:    short + ". A running replay hears it within a second.",
		Example: "  audittrail replay " + name + " 7f3c1a52-90d4-4c3e-8a6b-0f5d6a7b8c9d",
		Args:    cobra.ExactArgs(1),
	}
	output := addOutput(c, "text", "json")
	c.RunE = func(c *cobra.Command, args []string) error {
		path, err := replayPath(args[0])
		if err != nil {
			return err
		}
		return withAPI(c, func(api *client.Client) error {
			answer, err := api.Post(c.Context(), path+"/"+name, nil)
			if err != nil {
				return err
			}
			return printReplay(c.OutOrStdout(), answer, output.value)
		})
	}
	return c
}

func replayPath(id string) (string, error) {
	parsed, err := event.ParseID(id)
	if err != nil {
		return "", wrongUsage("ID must be a replay's id, a UUID in its 36-character form")
	}
	return "/v1/replays/" + parsed.String(), nil
}
