package cmd

import (
	"fmt"
	"net/url"
	"slices"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"audittrail/cmd/app"
	"audittrail/modules/client"
	"audittrail/modules/event"
)

// filterFlags are the flags that say which events are wanted, of the commands that ask the API for some.
type filterFlags struct {
	aggregateType, aggregateID, from, to, order         string
	correlationID, causationID, userID, source, payload string
	eventTypes                                          []string
}

// add defines the flags.
func (f *filterFlags) add(c *cobra.Command, order, orderHelp string) {
	flags := c.Flags()
	flags.StringArrayVar(&f.eventTypes, "event-type", nil, "only this type; repeat it for any of several")
	flags.StringVar(&f.aggregateType, "aggregate-type", "", "only aggregates of this type")
	flags.StringVar(&f.aggregateID, "aggregate-id", "", "only the aggregate with this id")
	flags.StringVar(&f.from, "from", "", "only at or after this moment: RFC 3339, or how long ago, as 90m or 36h")
	flags.StringVar(&f.to, "to", "", "only before this moment, in the same forms")
	flags.StringVar(&f.correlationID, "correlation-id", "", "only of this workflow")
	flags.StringVar(&f.causationID, "causation-id", "", "only what this caused")
	flags.StringVar(&f.userID, "user-id", "", "only of this user")
	flags.StringVar(&f.source, "source", "", "only from this service")
	flags.StringVar(&f.payload, "payload", "", `only with a payload that contains this JSON, as '{"customer":"c-7"}'`)
	flags.StringVar(&f.order, "order", order, orderHelp)
}

// checkEmpty refuses an empty filter, as an unset variable of a script makes it: it would find everything.
func (f *filterFlags) checkEmpty(c *cobra.Command) error {
	var wrong error
	c.LocalNonPersistentFlags().VisitAll(func(flag *pflag.Flag) {
		if flag.Changed && (flag.Value.String() == "" || flag.Name == "event-type" && slices.Contains(f.eventTypes, "")) {
			wrong = wrongUsage("--%s must not be empty", flag.Name)
		}
	})
	return wrong
}

// values are the filters as the API's parameters.
func (f *filterFlags) values(now time.Time) (url.Values, error) {
	if f.order != "asc" && f.order != "desc" {
		return nil, wrongUsage("--order must be asc or desc")
	}
	query := url.Values{"order": {f.order}}
	if err := setMoments(query, f.from, f.to, now); err != nil {
		return nil, err
	}
	if len(f.eventTypes) > 0 {
		query["eventType"] = f.eventTypes
	}
	for name, value := range map[string]string{
		"aggregateType": f.aggregateType, "aggregateId": f.aggregateID, "correlationId": f.correlationID,
		"causationId": f.causationID, "userId": f.userID, "source": f.source, "payload": f.payload,
	} {
		if value != "" {
			query.Set(name, value)
		}
	}
	return query, nil
}

// setMoments sets the parameters from and to where they are given.
func setMoments(query url.Values, from, to string, now time.Time) error {
	for _, moment := range []struct{ name, text string }{{"from", from}, {"to", to}} {
		if moment.text == "" {
			continue
		}
		at, err := parseMoment(moment.text, now)
		if err != nil {
			return wrongUsage("--%s must be RFC 3339, as 2026-01-31T12:00:00Z, or how long ago, as 90m or 36h", moment.name)
		}
		query.Set(moment.name, at)
	}
	return nil
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

// openAPI makes a client of the API that the configuration names, and warns where its token could be read
// on the way.
func openAPI(c *cobra.Command, cfg app.Config) (*client.Client, error) {
	api, err := client.New(cfg.Client.URL, cfg.Client.Token)
	if err != nil {
		return nil, wrongUsage("%w", err)
	}
	if api.Plain() {
		_, _ = fmt.Fprintln(c.ErrOrStderr(), "warning: client.url is not https: whoever reads the network gets your token")
	}
	return api, nil
}

// withAPI runs f with the API that the configuration names.
func withAPI(c *cobra.Command, f func(*client.Client) error) error {
	cfg, err := loadConfig(c)
	if err != nil {
		return err
	}
	api, err := openAPI(c, cfg)
	if err != nil {
		return err
	}
	return f(api)
}
