package cmd

import (
	"bufio"
	"fmt"
	"io"
	"net/url"
	"slices"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"audittrail/modules/client"
	"audittrail/modules/event"
)

// eventsFlags are the flags of `audittrail events`.
type eventsFlags struct {
	id, aggregateType, aggregateID, from, to, order, cursor string
	eventTypes                                              []string
	limit                                                   int
	output                                                  *outputFormat
}

func newEventsCmd() *cobra.Command {
	c := &cobra.Command{
		Use:   "events",
		Short: "Search events, and print them as table, JSON or NDJSON",
		Long: `Events searches the history through the API at client.url, with the token of client.token. All
filters must fit. The newest come first unless --order asc is given.

A table is for reading: on a terminal its lines are cut at the terminal's width. JSON is one document,
{"items": […], "nextCursor": …}; NDJSON is one event a line. Characters that a terminal would obey are
printed as escapes in all of them.

The token may come from a file: AUDITTRAIL_CLIENT_TOKEN_FILE names it.`,
		Example: `  export AUDITTRAIL_CLIENT_TOKEN_FILE=.audittrail/token   # as 'audittrail dev' writes it
  audittrail events
  audittrail events --event-type PaymentDeclined --event-type PaymentRefunded --from 1h
  audittrail events --aggregate-type Order --aggregate-id SO-1001 --order asc
  audittrail events --from 2026-01-01T00:00:00Z --limit 0 --output ndjson > events.ndjson
  audittrail events --id 0199c82c-c000-7c4f-be77-7053b0b76e5b`,
		Args: cobra.NoArgs,
	}
	var f eventsFlags
	flags := c.Flags()
	flags.StringArrayVar(&f.eventTypes, "event-type", nil, "only this type; repeat it for any of several")
	flags.StringVar(&f.aggregateType, "aggregate-type", "", "only aggregates of this type")
	flags.StringVar(&f.aggregateID, "aggregate-id", "", "only the aggregate with this id")
	flags.StringVar(&f.from, "from", "", "only at or after this moment: RFC 3339, or how long ago, as 90m or 36h")
	flags.StringVar(&f.to, "to", "", "only before this moment, in the same forms")
	flags.StringVar(&f.order, "order", "desc", "desc, or asc for the oldest first")
	flags.IntVar(&f.limit, "limit", 50, "how many events at most, 0 for all")
	flags.StringVar(&f.cursor, "cursor", "", "go on where an earlier JSON answer's nextCursor points, with the same filters")
	flags.StringVar(&f.id, "id", "", "the event with this id, in whole, instead of a search")
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
	api, err := client.New(cfg.Client.URL, cfg.Client.Token)
	if err != nil {
		return wrongUsage("%w", err)
	}
	if api.Plain() {
		_, _ = fmt.Fprintln(c.ErrOrStderr(), "warning: client.url is not https: whoever reads the network gets your token")
	}
	if f.id != "" {
		return showEvent(c, api, f)
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

// query is the search as the API's parameters.
func (f eventsFlags) query(c *cobra.Command, now time.Time) (url.Values, error) {
	if f.limit < 0 {
		return nil, wrongUsage("--limit must not be negative")
	}
	if f.order != "asc" && f.order != "desc" {
		return nil, wrongUsage("--order must be asc or desc")
	}
	if err := f.checkGiven(c); err != nil {
		return nil, err
	}
	query := url.Values{"order": {f.order}}
	for _, moment := range []struct{ name, text string }{{"from", f.from}, {"to", f.to}} {
		if moment.text == "" {
			continue
		}
		at, err := parseMoment(moment.text, now)
		if err != nil {
			return nil, wrongUsage("--%s must be RFC 3339, as 2026-01-31T12:00:00Z, or how long ago, as 90m or 36h", moment.name)
		}
		query.Set(moment.name, at)
	}
	if len(f.eventTypes) > 0 {
		query["eventType"] = f.eventTypes
	}
	for name, value := range map[string]string{"aggregateType": f.aggregateType, "aggregateId": f.aggregateID} {
		if value != "" {
			query.Set(name, value)
		}
	}
	return query, nil
}

// checkGiven refuses an empty filter, as an unset variable of a script makes it: it would find
// everything. And --id searches for nothing else.
func (f eventsFlags) checkGiven(c *cobra.Command) error {
	var wrong error
	c.LocalNonPersistentFlags().VisitAll(func(flag *pflag.Flag) {
		switch {
		case !flag.Changed:
		case flag.Value.String() == "" || flag.Name == "event-type" && slices.Contains(f.eventTypes, ""):
			wrong = wrongUsage("--%s must not be empty", flag.Name)
		case f.id != "" && flag.Name != "id" && flag.Name != "output":
			wrong = wrongUsage("--id names one event: it can't be given together with --%s", flag.Name)
		}
	})
	return wrong
}

// parseMoment reads a moment, or how long ago it was.
func parseMoment(text string, now time.Time) (string, error) {
	if ago, err := time.ParseDuration(text); err == nil && ago >= 0 {
		return event.FormatTime(now.Add(-ago)), nil
	}
	at, err := event.ParseTime(text)
	if err != nil {
		return "", err
	}
	return event.FormatTime(at), nil
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
	_, err = io.WriteString(c.OutOrStdout(), string(visibleJSON(nil, item))+"\n")
	return err
}
