package cmd

import (
	"fmt"
	"io"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"github.com/spf13/cobra"

	"audittrail/modules/client"
	"audittrail/platform/console"
)

func newAnomaliesCmd() *cobra.Command {
	c := &cobra.Command{
		Use:   "anomalies COMMAND",
		Short: "See what is unusual and why, and say that it is looked at or done",
		Long: `Anomalies are what the role analytics found unusual: each with what was expected, how far off it is, and the
events that show it. These commands ask the API at client.url, with the token of client.token.`,
		Args: cobra.NoArgs,
	}
	c.AddCommand(newAnomaliesListCmd(), newAnomaliesShowCmd(),
		newAnomaliesDecideCmd("acknowledge", "Say that somebody looks at an anomaly", "the provider was asked, ticket 4711"),
		newAnomaliesDecideCmd("resolve", "Say that an anomaly is done", "the provider had an outage"))
	return c
}

func newAnomaliesListCmd() *cobra.Command {
	c := &cobra.Command{
		Use:   "list",
		Short: "List anomalies, the latest first",
		Example: `  audittrail anomalies list
  audittrail anomalies list --state any --kind silent_source --from 168h
  audittrail anomalies list --output json`,
		Args: cobra.NoArgs,
	}
	flags := c.Flags()
	kind := flags.String("kind", "", "only this kind, as silent_source")
	state := flags.String("state", "open", "open, acknowledged, resolved, or any")
	from := flags.String("from", "", "only from this moment on: RFC 3339, or how long ago, as 90m or 36h")
	to := flags.String("to", "", "only before this moment, in the same forms")
	limit := flags.Int("limit", 50, "at most so many, and 1000")
	output := addOutput(c, "table", "json")
	c.RunE = func(c *cobra.Command, _ []string) error {
		query := url.Values{"limit": {strconv.Itoa(*limit)}}
		if err := setMoments(query, *from, *to, time.Now()); err != nil {
			return err
		}
		if *kind != "" {
			query.Set("kind", *kind)
		}
		if *state != "any" {
			query.Set("state", *state)
		}
		return withAPI(c, func(api *client.Client) error {
			answer, err := api.Get(c.Context(), "/v1/anomalies", query)
			if err != nil {
				return err
			}
			if output.value == "json" {
				return printAnswer(c.OutOrStdout(), answer)
			}
			return printAnomalies(c.OutOrStdout(), answer)
		})
	}
	return c
}

// anomaly is one as the API shows it, as far as it is printed.
type anomaly struct {
	ID         string  `json:"id"`
	Kind       string  `json:"kind"`
	Subject    string  `json:"subject"`
	Detail     string  `json:"detail"`
	StartedAt  string  `json:"startedAt"`
	DetectedAt string  `json:"detectedAt"`
	Distance   float64 `json:"distance"`
	State      string  `json:"state"`
	DecidedAt  string  `json:"decidedAt"`
	DecidedBy  string  `json:"decidedBy"`
	Reason     string  `json:"reason"`
	Evidence   struct {
		Events []struct {
			EventID       string `json:"eventId"`
			EventType     string `json:"eventType"`
			AggregateType string `json:"aggregateType"`
			AggregateID   string `json:"aggregateId"`
			Timestamp     string `json:"timestamp"`
		} `json:"events"`
		Access      []int64  `json:"access"`
		DeadLetters []string `json:"deadLetters"`
	} `json:"evidence"`
}

func printAnomalies(out io.Writer, answer jsontext.Value) error {
	var list struct {
		Items []anomaly `json:"items"`
	}
	if err := json.Unmarshal(answer, &list); err != nil {
		return fmt.Errorf("the API's answer is no list of anomalies: %w", err)
	}
	table := console.NewTable(out, "ID", "SINCE", "KIND", "STATE", "SUBJECT", "WHAT")
	for _, a := range list.Items {
		if err := table.Add(a.ID, a.StartedAt, a.Kind, a.State, a.Subject, a.Detail); err != nil {
			return err
		}
	}
	return table.Flush()
}

func newAnomaliesShowCmd() *cobra.Command {
	c := &cobra.Command{
		Use:     "show ID",
		Short:   "Show an anomaly with its evidence",
		Example: `  audittrail anomalies show 9f2c4e1a7b3d5f60718293a4`,
		Args:    cobra.ExactArgs(1),
	}
	output := addOutput(c, "text", "json")
	c.RunE = func(c *cobra.Command, args []string) error {
		return withAPI(c, func(api *client.Client) error {
			answer, err := api.Get(c.Context(), "/v1/anomalies/"+url.PathEscape(args[0]), nil)
			if err != nil {
				return err
			}
			return printAnomaly(c.OutOrStdout(), answer, output.value)
		})
	}
	return c
}

func printAnomaly(out io.Writer, answer jsontext.Value, form string) error {
	if form == "json" {
		return printAnswer(out, answer)
	}
	var a anomaly
	if err := json.Unmarshal(answer, &a); err != nil {
		return fmt.Errorf("the API's answer is no anomaly: %w", err)
	}
	var text strings.Builder
	line := func(format string, args ...any) {
		text.WriteString(console.Visible(fmt.Sprintf(format, args...)) + "\n")
	}
	line("%s: %s", a.Kind, a.Subject)
	line("%s", a.Detail)
	line("since %s, found %s, distance from what was expected %.1f", a.StartedAt, a.DetectedAt, a.Distance)
	if a.State == "open" {
		line("open")
	} else {
		line("%s by %s, %s: %s", a.State, a.DecidedBy, a.DecidedAt, a.Reason)
	}
	for _, e := range a.Evidence.Events {
		line("  %s  %s  %s %s  event %s", e.Timestamp, e.EventType, e.AggregateType, e.AggregateID, e.EventID)
	}
	for _, position := range a.Evidence.Access {
		line("  access entry %d", position)
	}
	for _, id := range a.Evidence.DeadLetters {
		line("  dead letter %s", id)
	}
	_, err := io.WriteString(out, text.String())
	return err
}

func newAnomaliesDecideCmd(verb, short, why string) *cobra.Command {
	c := &cobra.Command{
		Use:     verb + " ID",
		Short:   short,
		Example: "  audittrail anomalies " + verb + " 9f2c4e1a7b3d5f60718293a4 --why '" + why + "'",
		Args:    cobra.ExactArgs(1),
	}
	reason := c.Flags().String("why", "", "why, which is kept with who said so")
	output := addOutput(c, "text", "json")
	c.RunE = func(c *cobra.Command, args []string) error {
		if strings.TrimSpace(*reason) == "" {
			return wrongUsage("--why must say why")
		}
		return withAPI(c, func(api *client.Client) error {
			answer, err := api.Post(c.Context(), "/v1/anomalies/"+url.PathEscape(args[0])+"/"+verb, map[string]string{"reason": *reason})
			if err != nil {
				return err
			}
			return printAnomaly(c.OutOrStdout(), answer, output.value)
		})
	}
	return c
}
