package cmd

import (
	"fmt"
	"io"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"audittrail/modules/client"
	"audittrail/platform/console"
)

// statsFlags are the flags of `audittrail stats`.
type statsFlags struct {
	interval, tz, from, to        string
	aggregateType, source, userID string
	groupBy, eventTypes           []string
	top                           int
	distinct                      bool
	output                        *outputFormat
}

func newStatsCmd() *cobra.Command {
	c := &cobra.Command{
		Use:   "stats",
		Short: "Count events over time, with small charts",
		Long: `Stats asks the API at client.url how many events there were, by the events' own time, with the token of
client.token. Each group is a line: its count, a bar beside the largest group, and how it went over time.

The counts come from rollups that the role analytics keeps a moment behind the store; the first line says
how far behind. What no rollup has, such as users by source, is counted event by event, for 31 days at most.`,
		Example: `  audittrail stats
  audittrail stats --interval hour --from 48h --group-by eventType
  audittrail stats --interval month --tz Europe/Berlin --group-by source --group-by eventType --top 10
  audittrail stats --interval day --from 720h --user-id c-7 --output csv > days.csv`,
		Args: cobra.NoArgs,
	}
	var f statsFlags
	flags := c.Flags()
	flags.StringVar(&f.interval, "interval", "day", "minute, hour, day, week or month")
	flags.StringArrayVar(&f.groupBy, "group-by", nil, "eventType, aggregateType, source or userId; repeat it for several")
	flags.IntVar(&f.top, "top", 20, "how many groups to tell apart")
	flags.StringVar(&f.tz, "tz", "", "whose days and hours, as Europe/Berlin; UTC if not given")
	flags.StringVar(&f.from, "from", "", "only at or after this moment: RFC 3339, or how long ago, as 90m or 36h")
	flags.StringVar(&f.to, "to", "", "only before this moment, in the same forms")
	flags.StringArrayVar(&f.eventTypes, "event-type", nil, "only this type; repeat it for any of several")
	flags.StringVar(&f.aggregateType, "aggregate-type", "", "only aggregates of this type")
	flags.StringVar(&f.source, "source", "", "only from this service")
	flags.StringVar(&f.userID, "user-id", "", "only of this user")
	flags.BoolVar(&f.distinct, "distinct", false, "also estimate how many aggregates and users there were (json and csv)")
	f.output = addOutput(c, "text", "json", "csv")
	c.RunE = func(c *cobra.Command, _ []string) error { return runStats(c, f) }
	c.AddCommand(newStatsRebuildCmd())
	return c
}

func runStats(c *cobra.Command, f statsFlags) error {
	query, err := f.query(c, time.Now())
	if err != nil {
		return err
	}
	return withAPI(c, func(api *client.Client) error {
		if f.output.value == "csv" {
			body, err := api.GetAs(c.Context(), "/v1/stats/events", query, "text/csv")
			if err == nil {
				_, err = c.OutOrStdout().Write(body)
			}
			return err
		}
		answer, err := api.Get(c.Context(), "/v1/stats/events", query)
		if err != nil {
			return err
		}
		if f.output.value == "json" {
			return printAnswer(c.OutOrStdout(), answer)
		}
		return printStats(c.OutOrStdout(), answer, f.groupBy)
	})
}

// query is what is asked as the API's parameters.
func (f statsFlags) query(c *cobra.Command, now time.Time) (url.Values, error) {
	var wrong error
	c.LocalNonPersistentFlags().VisitAll(func(flag *pflag.Flag) {
		if flag.Changed && flag.Value.String() == "" {
			wrong = wrongUsage("--%s must not be empty", flag.Name)
		}
	})
	if wrong != nil {
		return nil, wrong
	}
	query := url.Values{"interval": {f.interval}, "top": {fmt.Sprint(f.top)}}
	if err := setMoments(query, f.from, f.to, now); err != nil {
		return nil, err
	}
	for name, value := range map[string]string{"tz": f.tz, "aggregateType": f.aggregateType, "source": f.source, "userId": f.userID} {
		if value != "" {
			query.Set(name, value)
		}
	}
	for name, values := range map[string][]string{"groupBy": f.groupBy, "eventType": f.eventTypes} {
		if len(values) > 0 {
			query[name] = values
		}
	}
	if f.distinct {
		query.Set("distinct", "true")
	}
	return query, nil
}

// chartWidth is how many characters a sparkline or a bar has at most.
const (
	chartWidth = 48
	barWidth   = 20
)

// statsGroup is a group of an answer, over all of its intervals.
type statsGroup struct {
	names []string
	count int64
	line  []int64
}

// printStats draws an answer: all events as one line, then each group.
func printStats(w io.Writer, answer jsontext.Value, groupBy []string) error {
	var s struct {
		Interval string
		Items    []struct {
			Start time.Time
			Group map[string]*string
			Other bool
			Count int64
		}
		Position, Head int64
		Scanned        bool
	}
	if err := json.Unmarshal(answer, &s, json.MatchCaseInsensitiveNames(true)); err != nil {
		return fmt.Errorf("the API's answer holds no counts: %w", err)
	}
	if len(s.Items) == 0 {
		_, err := fmt.Fprintf(w, "no events%s\n", behind(s.Position, s.Head))
		return err
	}
	first, last := s.Items[0].Start, s.Items[len(s.Items)-1].Start
	cells := min(chartWidth, 1+int(last.Sub(first)/stepOf(s.Interval)))
	whole := statsGroup{line: make([]int64, cells)}
	groups := map[string]*statsGroup{}
	for _, item := range s.Items {
		names := make([]string, len(groupBy))
		for i, field := range groupBy {
			switch value := item.Group[field]; {
			case item.Other:
				names[i] = "(others)"
			case value == nil:
				names[i] = "(none)"
			default:
				names[i] = *value
			}
		}
		key := fmt.Sprintf("%q", names)
		if groups[key] == nil {
			groups[key] = &statsGroup{names: names, line: make([]int64, cells)}
		}
		cell := 0
		if span := last.Sub(first); span > 0 {
			cell = min(int(float64(item.Start.Sub(first))/float64(span)*float64(cells-1)+0.5), cells-1)
		}
		for _, g := range []*statsGroup{&whole, groups[key]} {
			g.count += item.Count
			g.line[cell] += item.Count
		}
	}
	_, err := fmt.Fprintf(w, "%s, %s to %s by %s%s\n%s\n", console.Counted(whole.count, "event", "events"), first.Format("2006-01-02 15:04"), last.Format("2006-01-02 15:04"),
		console.Visible(s.Interval), behind(s.Position, s.Head), console.Paint(w, console.Cyan, console.Sparkline(whole.line)))
	if err != nil || len(groupBy) == 0 {
		return err
	}
	return printGroups(w, groups, groupBy)
}

func printGroups(w io.Writer, groups map[string]*statsGroup, groupBy []string) error {
	var all []*statsGroup
	most := int64(0)
	for _, g := range groups {
		all = append(all, g)
		most = max(most, g.count)
	}
	slices.SortFunc(all, func(a, b *statsGroup) int {
		if a.count != b.count {
			return int(min(max(b.count-a.count, -1), 1))
		}
		return strings.Compare(strings.Join(a.names, "\x00"), strings.Join(b.names, "\x00"))
	})
	table := console.NewTable(w, append(slices.Clone(groupBy), "count", "", "over time")...)
	for _, g := range all {
		if err := table.Add(append(g.names, console.Grouped(g.count), console.Bar(g.count, most, barWidth), console.Sparkline(g.line))...); err != nil {
			return err
		}
	}
	return table.Flush()
}

// stepOf is about how long an interval is.
func stepOf(interval string) time.Duration {
	step := map[string]time.Duration{"minute": time.Minute, "hour": time.Hour, "week": 7 * 24 * time.Hour, "month": 30 * 24 * time.Hour}[interval]
	if step == 0 {
		return 24 * time.Hour
	}
	return step
}

// behind says how many events the rollups don't have yet; "" where they have all.
func behind(position, head int64) string {
	if position >= head {
		return ""
	}
	return " (" + console.Counted(head-position, "event is", "events are") + " not counted yet)"
}
