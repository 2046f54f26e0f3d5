package cmd

import (
	"cmp"
	"fmt"
	"io"
	"maps"
	"net/url"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
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

// replayFlags say what is sent, where, and how fast.
type replayFlags struct {
	filterFlags
	topic, webhook, file, reason string
	sealed                       string
	batch                        int
	maxPerSecond, timeScale      float64
	until, confirm               int64
	output                       *outputFormat
}

func (f *replayFlags) add(c *cobra.Command) {
	f.filterFlags.add(c, "asc", "")
	flags := c.Flags()
	_ = flags.MarkHidden("order") // events are sent in the order of their positions
	flags.StringVar(&f.topic, "to-topic", "", "send to this Kafka topic")
	flags.StringVar(&f.webhook, "to-webhook", "", "send to this URL, one of replay.targets")
	flags.StringVar(&f.file, "to-file", "", "write a file of this name, on the machine of the role replay; .gz compresses it")
	flags.IntVar(&f.batch, "batch", 0, "events that a request to the webhook carries at most")
	flags.Float64Var(&f.maxPerSecond, "max-per-second", 0, "at most so many events a second")
	flags.Float64Var(&f.timeScale, "time-scale", 0, "the rhythm of the events' timestamps, so many times as fast")
	flags.Int64Var(&f.until, "until", 0, "the last position; without it, the log's end now")
	flags.StringVar(&f.sealed, "sealed", "", "placeholder: send placeholders in place of sealed values; without it they are sent open, or the replay is refused")
	c.MarkFlagsMutuallyExclusive("to-topic", "to-webhook", "to-file")
	c.MarkFlagsOneRequired("to-topic", "to-webhook", "to-file")
	c.MarkFlagsMutuallyExclusive("max-per-second", "time-scale")
	f.output = addOutput(c, "text", "json")
}

// body is the request.
func (f *replayFlags) body(c *cobra.Command, dryRun bool) (jsontext.Value, error) {
	if err := f.checkEmpty(c); err != nil {
		return nil, err
	}
	if f.sealed != "" && f.sealed != "placeholder" {
		return nil, wrongUsage("--sealed must be placeholder")
	}
	query, err := f.values(time.Now())
	if err != nil {
		return nil, err
	}
	query.Del("order")
	body := map[string]any{"reason": f.reason, "target": f.target(), "dryRun": dryRun}
	if len(query) > 0 {
		if body["filter"], err = filterBody(query); err != nil {
			return nil, err
		}
	}
	if f.maxPerSecond > 0 {
		body["speed"] = map[string]any{"maxPerSecond": f.maxPerSecond}
	}
	if f.timeScale > 0 {
		body["speed"] = map[string]any{"timeScale": f.timeScale}
	}
	if f.sealed != "" {
		body["sealed"] = f.sealed
	}
	if c.Flags().Changed("until") {
		body["until"] = f.until
	}
	if c.Flags().Changed("confirm") {
		body["confirmCount"] = f.confirm
	}
	return json.Marshal(body, json.Deterministic(true))
}

func (f *replayFlags) target() map[string]any {
	switch {
	case f.topic != "":
		return map[string]any{"type": "kafka", "topic": f.topic}
	case f.file != "":
		return map[string]any{"type": "file", "name": f.file}
	}
	target := map[string]any{"type": "webhook", "url": f.webhook}
	if f.batch > 0 {
		target["batch"] = f.batch
	}
	return target
}

// filterBody is a search's parameters as a body has them.
func filterBody(query url.Values) (map[string]any, error) {
	filter := map[string]any{}
	for name, values := range query {
		switch name {
		case "eventType":
			filter[name] = values
		case "payload":
			payload := jsontext.Value(values[0])
			if !payload.IsValid() {
				return nil, wrongUsage("--payload must be JSON")
			}
			filter[name] = payload
		default:
			filter[name] = values[0]
		}
	}
	return filter, nil
}

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
		body, err := f.body(c, true)
		if err != nil {
			return err
		}
		return withAPI(c, func(api *client.Client) error {
			answer, err := api.Post(c.Context(), "/v1/replays", body)
			if err != nil {
				return err
			}
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
		body, err := f.body(c, false)
		if err != nil {
			return err
		}
		return withAPI(c, func(api *client.Client) error {
			answer, err := api.Post(c.Context(), "/v1/replays", body)
			if err != nil {
				return err
			}
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

// replayAnswer is a replay as the API answers it.
type replayAnswer struct {
	ID, State, Reason, CreatedBy, CreatedAt, Error string
	Total, Sent, Failed, Waiting, Remaining, Until int64
	Rate                                           float64
	EstimatedEnd                                   *string
	Target                                         jsontext.Value
}

func readReplay(answer jsontext.Value) (r replayAnswer, err error) {
	if err := json.Unmarshal(answer, &r, json.MatchCaseInsensitiveNames(true)); err != nil {
		return r, fmt.Errorf("the API's answer is no replay: %w", err)
	}
	return r, nil
}

// barCells is how wide a progress bar is.
const barCells = 30

// line is a replay on one line, with a bar.
func (r replayAnswer) line() string {
	settled := r.Sent + r.Failed + r.Waiting
	part := 1.0
	if r.Total > 0 {
		part = min(float64(settled)/float64(r.Total), 1)
	}
	full := int(part * barCells)
	text := fmt.Sprintf("[%s%s] %3d%%  %s of %s events", strings.Repeat("#", full), strings.Repeat(".", barCells-full), int(part*100),
		console.Grouped(r.Sent), console.Grouped(r.Total))
	if r.Rate > 0 {
		text += fmt.Sprintf(", %.0f a second", r.Rate)
	}
	if r.EstimatedEnd != nil {
		if end, err := event.ParseTime(*r.EstimatedEnd); err == nil {
			text += ", " + max(time.Until(end), 0).Round(time.Second).String() + " to go"
		}
	}
	if r.Failed+r.Waiting > 0 {
		text += fmt.Sprintf(", %s failed, %s waiting", console.Grouped(r.Failed), console.Grouped(r.Waiting))
	}
	if r.State != "running" {
		text += ", " + r.State
	}
	if r.Error != "" {
		text += ": " + r.Error
	}
	return text
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

func printReplay(w io.Writer, answer jsontext.Value, form string) error {
	if form == "json" {
		return printAnswer(w, answer)
	}
	r, err := readReplay(answer)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(w, "%s  %s\n%s\n", console.Visible(r.ID), console.Visible(r.Reason), console.Visible(r.line()))
	return err
}

func printPreview(w io.Writer, answer jsontext.Value) error {
	var p struct {
		Total, Bytes, Sealed, Erased, Until int64
		From, To                            *string
		Types                               map[string]int64
		EstimatedSeconds                    float64
	}
	if err := json.Unmarshal(answer, &p, json.MatchCaseInsensitiveNames(true)); err != nil {
		return fmt.Errorf("the API's answer is no preview: %w", err)
	}
	var b strings.Builder
	fmt.Fprintf(&b, "%s events, about %s KiB, in about %s\n", console.Grouped(p.Total), console.Grouped((p.Bytes+1023)>>10), time.Duration(p.EstimatedSeconds*float64(time.Second)).Round(time.Second))
	if p.From != nil && p.To != nil {
		fmt.Fprintf(&b, "from %s to %s\n", *p.From, *p.To)
	}
	kinds := slices.SortedFunc(maps.Keys(p.Types), func(a, b string) int {
		return cmp.Or(cmp.Compare(p.Types[b], p.Types[a]), cmp.Compare(a, b))
	})
	for _, kind := range kinds {
		fmt.Fprintf(&b, "%12s  %s\n", console.Grouped(p.Types[kind]), console.Visible(kind))
	}
	if p.Sealed+p.Erased > 0 {
		fmt.Fprintf(&b, "%s hold sealed values, %s erased ones\n", console.Grouped(p.Sealed), console.Grouped(p.Erased))
	}
	fmt.Fprintf(&b, "start it with --until %d --confirm %d\n", p.Until, p.Total)
	_, err := io.WriteString(w, b.String())
	return err
}
