package cmd

import (
	"fmt"
	"sync/atomic"

	"github.com/go-json-experiment/json/jsontext"
	"github.com/spf13/cobra"

	"audittrail/modules/client"
	"audittrail/platform/console"
)

func newReplayPreviewCmd() *cobra.Command {
	c := &cobra.Command{
		Use:   "preview",
		Short: "Say what a replay would send, and keep nothing",
		Long: `Counts the events that a replay would send, and says what they are, how long it would take, and until
which position. Give that position and the count to 'start', and just these events are sent.`,
		Example: `  audittrail replay preview --to-topic orders-copy --aggregate-type Order --from 36h`,
		Args:    cobra.NoArgs,
	}
	f := replayFlags{reason: "preview"}
	f.add(c)
	c.RunE = func(c *cobra.Command, _ []string) error {
		return f.post(c, true, func(_ *client.Client, answer jsontext.Value) error {
			if f.output.value == "json" {
				return printAnswer(c.OutOrStdout(), answer)
			}
			return printPreview(c.OutOrStdout(), answer)
		})
	}
	return c
}

func newReplayStartCmd() *cobra.Command {
	c := &cobra.Command{
		Use:   "start",
		Short: "Make a replay",
		Long: `Makes a replay, and prints its id. Above 10,000 events it wants --confirm with their number, as 'preview'
says it. With --follow it shows how far the replay has come until the replay ends. Ctrl-C then ends the
watching, not the replay.`,
		Example: `  audittrail replay start --to-topic orders-copy --max-per-second 500 --reason 'rebuild the index' --follow
  audittrail replay start --to-file orders.ndjson.gz --until 166192 --confirm 166193 --reason 'copy for tests'`,
		Args: cobra.NoArgs,
	}
	var f replayFlags
	f.add(c)
	c.Flags().StringVar(&f.reason, "reason", "", "why; it is kept with the replay")
	c.Flags().Int64Var(&f.confirm, "confirm", 0, "how many events there are to send")
	follow := c.Flags().Bool("follow", false, "show how far it has come until it ends")
	_ = c.MarkFlagRequired("reason")
	c.RunE = func(c *cobra.Command, _ []string) error {
		return f.post(c, false, func(api *client.Client, answer jsontext.Value) (err error) {
			if *follow {
				if answer, err = followReplay(c, api, answer); err != nil {
					return err
				}
			}
			return printReplay(c.OutOrStdout(), answer, f.output.value)
		})
	}
	return c
}

// post asks for the replay, or only what it would be, and calls then with the answer.
func (f *replayFlags) post(c *cobra.Command, dryRun bool, then func(*client.Client, jsontext.Value) error) error {
	body, err := f.body(c, dryRun)
	if err != nil {
		return err
	}
	return withAPI(c, func(api *client.Client) error {
		answer, err := api.Post(c.Context(), "/v1/replays", body)
		if err != nil {
			return err
		}
		return then(api, answer)
	})
}

// followReplay shows progress until the replay ends, and answers how it ended.
func followReplay(c *cobra.Command, api *client.Client, answer jsontext.Value) (jsontext.Value, error) {
	now, err := readReplay(answer)
	if err != nil {
		return nil, err
	}
	path, err := replayPath(now.ID)
	if err != nil {
		return nil, err
	}
	var latest atomic.Value
	latest.Store(now.line())
	progress := console.StartProgress(c.ErrOrStderr(), func() string { text, _ := latest.Load().(string); return text })
	defer progress.Stop()
	for next, err := range api.Watch(c.Context(), path) {
		if err != nil {
			return nil, err
		}
		if now, err = readReplay(next); err != nil {
			return nil, err
		}
		latest.Store(now.line())
		switch now.State {
		case "completed":
			return next, nil
		case "cancelled", "failed":
			return nil, fmt.Errorf("the replay %s is %s: %s", now.ID, now.State, console.Visible(now.Error))
		}
	}
	return nil, c.Context().Err()
}
