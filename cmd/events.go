package cmd

import (
	"bufio"
	"fmt"
	"io"
	"net/url"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"audittrail/modules/client"
	"audittrail/modules/event"
	"audittrail/platform/console"
)

// eventsFlags are the flags of `audittrail events`.
type eventsFlags struct {
	filterFlags
	id, cursor string
	limit      int
	count      bool
	follow     bool
	output     *outputFormat
}

func newEventsCmd() *cobra.Command {
	c := &cobra.Command{
		Use:   "events",
		Short: "Search events, and print them as table, JSON or NDJSON",
		Long: `Events searches the history through the API at client.url, with the token of client.token. An
event is shown if it matches all filters. The newest events come first; --order asc reverses that.

The output is a table, whose lines are cut at the terminal's width, or JSON, which is one document
{"items": […], "nextCursor": …}, or NDJSON, which is one event a line. Control characters are printed as
escapes, so that an event cannot change your terminal.

The variable AUDITTRAIL_CLIENT_TOKEN_FILE names a file that holds the token.`,
		Example: `  export AUDITTRAIL_CLIENT_TOKEN_FILE=.audittrail/token   # as 'audittrail dev' writes it
  audittrail events
  audittrail events --event-type PaymentDeclined --event-type PaymentRefunded --from 1h
  audittrail events --aggregate-type Order --aggregate-id SO-1001 --order asc
  audittrail events --from 2026-01-01T00:00:00Z --limit 0 --output ndjson > events.ndjson
  audittrail events --follow --event-type 'PaymentDeclined' --output ndjson
  audittrail events --user-id c-7 --payload '{"currency":"EUR"}' --count
  audittrail events --id 0199c82c-c000-7c4f-be77-7053b0b76e5b`,
		Args: cobra.NoArgs,
	}
	var f eventsFlags
	flags := c.Flags()
	f.add(c, "desc", "desc, or asc for the oldest first")
	flags.IntVar(&f.limit, "limit", 50, "how many events at most, 0 for all")
	flags.StringVar(&f.cursor, "cursor", "", "go on where an earlier JSON answer's nextCursor points, with the same filters")
	flags.StringVar(&f.id, "id", "", "the event with this id, in whole, instead of a search")
	flags.BoolVar(&f.follow, "follow", false, "print the newest events, the oldest of them first, and then each one that fits as it is stored, until interrupted")
	flags.BoolVar(&f.count, "count", false, "print how many events there are instead, counted up to 10,000; all of them without a filter")
	f.output = addOutput(c, "table", "json", "ndjson")
	c.RunE = func(c *cobra.Command, _ []string) error { return runEvents(c, f) }
	return c
}

func runEvents(c *cobra.Command, f eventsFlags) error {
	query, err := f.query(c, time.Now())
	if err != nil {
		return err
	}
	cfg, err := loadConfig(c)
	if err != nil {
		return err
	}
	api, err := openAPI(c, cfg)
	if err != nil {
		return err
	}
	if f.id != "" {
		return showEvent(c, api, f)
	}
	if f.count {
		return countEvents(c, api, query, f.output.value)
	}
	if f.follow {
		return followEvents(c, api, f, query)
	}
	out := bufio.NewWriter(c.OutOrStdout())
	list := api.List("/v1/events", query, f.limit, f.cursor)
	p := newEventPrinter(f.output.value, c.OutOrStdout(), out)
	for item, err := range list.All(c.Context()) {
		if err != nil {
			_ = out.Flush() // what was found before the error is printed all the same
			return err
		}
		if err := p.event(item); err != nil {
			return err
		}
	}
	if err := p.end(list.NextCursor()); err != nil {
		return err
	}
	return out.Flush()
}

// countEvents prints how many events fit.
func countEvents(c *cobra.Command, api *client.Client, query url.Values, form string) error {
	query.Set("count", "exact")
	query.Set("limit", "1")
	query.Set("fields", "position")
	body, err := api.Get(c.Context(), "/v1/events", query)
	if err != nil {
		return err
	}
	var page struct {
		Count struct {
			Value  int64 `json:"value"`
			Capped bool  `json:"capped"`
		} `json:"count"`
	}
	if err := json.Unmarshal(body, &page); err != nil {
		return fmt.Errorf("the answer of /v1/events is no list: %w", err)
	}
	text := console.Grouped(page.Count.Value)
	if page.Count.Capped {
		text = "more than " + text
	}
	if form != "table" {
		text = fmt.Sprintf(`{"value":%d,"capped":%t}`, page.Count.Value, page.Count.Capped)
	}
	_, err = fmt.Fprintln(c.OutOrStdout(), text)
	return err
}

// query is the search as the API's parameters.
func (f eventsFlags) query(c *cobra.Command, now time.Time) (url.Values, error) {
	if f.limit < 0 {
		return nil, wrongUsage("--limit must not be negative")
	}
	switch {
	case f.follow && (f.count || f.cursor != "" || c.Flags().Changed("order") || f.to != ""):
		return nil, wrongUsage("--follow goes on with what comes: it can't be given together with --count, --cursor, --order or --to")
	case f.follow && f.output.value == "json":
		return nil, wrongUsage("--follow never comes to the end of a JSON document: use --output ndjson")
	}
	if f.count && (f.cursor != "" || c.Flags().Changed("limit")) {
		return nil, wrongUsage("--count counts all events that fit: it can't be given together with --limit or --cursor")
	}
	if err := f.checkGiven(c); err != nil {
		return nil, err
	}
	return f.values(now)
}

// checkGiven: --id searches for nothing else.
func (f eventsFlags) checkGiven(c *cobra.Command) error {
	wrong := f.checkEmpty(c)
	c.LocalNonPersistentFlags().VisitAll(func(flag *pflag.Flag) {
		if wrong == nil && flag.Changed && f.id != "" && flag.Name != "id" && flag.Name != "output" {
			wrong = wrongUsage("--id names one event: it can't be given together with --%s", flag.Name)
		}
	})
	return wrong
}

// showEvent prints the event that --id names.
func showEvent(c *cobra.Command, api *client.Client, f eventsFlags) error {
	id, err := event.ParseID(f.id)
	if err != nil {
		return wrongUsage("--id must be a UUID in its 36-character form")
	}
	item, err := api.Get(c.Context(), "/v1/events/"+id.String(), nil)
	if err != nil {
		return err
	}
	if f.output.value != "ndjson" {
		if err := item.Indent(); err != nil {
			return err
		}
	}
	_, err = io.WriteString(c.OutOrStdout(), string(console.AppendVisibleJSON(nil, item))+"\n")
	return err
}
