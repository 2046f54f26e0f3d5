package cmd

import (
	"bufio"
	"context"
	"errors"
	"net/url"
	"slices"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"github.com/spf13/cobra"

	"audittrail/modules/client"
)

// followEvents prints the newest events, and then those that are stored, until it is interrupted.
func followEvents(c *cobra.Command, api *client.Client, f eventsFlags, query url.Values) error {
	out := bufio.NewWriter(c.OutOrStdout())
	p := newEventPrinter(f.output.value, c.OutOrStdout(), out)
	flush := func() error {
		if table, ok := p.(*tablePrinter); ok {
			if err := table.end(""); err != nil {
				return err
			}
		}
		return out.Flush()
	}
	newest, err := newestEvents(c.Context(), api, query, f.limit)
	if err != nil {
		return err
	}
	after, err := lastPosition(newest)
	if err != nil {
		return err
	}
	if len(newest) == 0 { // begin where the log is now, about: what does not fit is passed by
		one, err := newestEvents(c.Context(), api, url.Values{"order": {"desc"}, "fields": {"position"}}, 1)
		if err != nil {
			return err
		}
		if after, err = lastPosition(one); err != nil {
			return err
		}
	}
	slices.Reverse(newest)
	for _, item := range newest {
		if err := p.event(item); err != nil {
			return err
		}
	}
	if err := flush(); err != nil {
		return err
	}
	query.Del("order")
	for e, err := range api.Follow(c.Context(), query, after) {
		if err != nil {
			if c.Context().Err() != nil && errors.Is(err, context.Canceled) {
				return nil // as asked
			}
			return err
		}
		if err := errors.Join(p.event(e.JSON.Clone()), flush()); err != nil {
			return err
		}
	}
	return nil
}

// newestEvents are the newest events, the newest first.
func newestEvents(ctx context.Context, api *client.Client, query url.Values, limit int) ([]jsontext.Value, error) {
	var items []jsontext.Value
	for item, err := range api.List("/v1/events", query, limit, "").All(ctx) {
		if err != nil {
			return nil, err
		}
		items = append(items, item)
	}
	return items, nil
}

// lastPosition is the highest position of the events; -1 where there is none. Whatever is stored later has a higher
// one.
func lastPosition(items []jsontext.Value) (int64, error) {
	last := int64(-1)
	for _, item := range items {
		var e struct {
			Position int64 `json:"position"`
		}
		if err := json.Unmarshal(item, &e); err != nil {
			return 0, errors.New("the API's answer holds an event without a position")
		}
		last = max(last, e.Position)
	}
	return last, nil
}
