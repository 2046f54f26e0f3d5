package cmd

import (
	"bufio"
	"errors"
	"fmt"
	"maps"
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

func newDeadLettersCmd() *cobra.Command {
	c := &cobra.Command{
		Use:   "dead-letters",
		Short: "Find records that could not become events, and decide what becomes of them",
		Long: `Dead letters are the records that ingest could not make events of. Each is kept with the reason. One that
is pending can be redriven, when the rule that it broke was relaxed or with another value, or dismissed.
The commands ask the API at client.url, with the token of client.token.`,
		Args: subcommandOnly,
		RunE: showHelp,
	}
	c.AddCommand(newDeadLettersListCmd(), newDeadLettersShowCmd(), newDeadLettersRedriveCmd(), newDeadLettersDismissCmd())
	return c
}

// letterFilter are the flags that say which dead letters are meant.
type letterFilter struct{ topic, reason, field, key, from, to string }

func (f *letterFilter) add(c *cobra.Command) {
	flags := c.Flags()
	flags.StringVar(&f.topic, "topic", "", "only of this Kafka topic")
	flags.StringVar(&f.reason, "reason", "", "only with this reason, such as missing_field")
	flags.StringVar(&f.field, "field", "", "only with a fault at or within this path, such as payload.lines")
	flags.StringVar(&f.key, "key", "", "only whose record's key holds this text")
	flags.StringVar(&f.from, "from", "", "only received at or after this moment: RFC 3339, or how long ago, as 90m or 36h")
	flags.StringVar(&f.to, "to", "", "only received before this moment, in the same forms")
}

// values are the filters by the names that the API has for them. An empty one is refused: an unset variable of a
// script would mean everything.
func (f *letterFilter) values(c *cobra.Command, now time.Time) (map[string]string, error) {
	var wrong error
	c.LocalNonPersistentFlags().VisitAll(func(flag *pflag.Flag) {
		if flag.Changed && strings.TrimSpace(flag.Value.String()) == "" {
			wrong = wrongUsage("--%s must not be empty", flag.Name)
		}
	})
	values := map[string]string{}
	for name, text := range map[string]string{"topic": f.topic, "reason": f.reason, "field": f.field, "key": f.key} {
		if text != "" {
			values[name] = text
		}
	}
	for name, text := range map[string]string{"from": f.from, "to": f.to} {
		if text == "" {
			continue
		}
		moment, err := parseMoment(text, now)
		if err != nil {
			return nil, wrongUsage("--%s must be RFC 3339, as 2026-01-31T12:00:00Z, or how long ago, as 90m or 36h", name)
		}
		values[name] = moment
	}
	return values, wrong
}

// deadLetter is a dead letter as the API shows it.
type deadLetter struct {
	ID                    int64
	Topic                 string
	Partition             int32
	Offset                int64
	Reason, Field, Detail string
	Key, Value            []byte
	ValueLength           *int64
	Headers               []struct{ Key string }
	ReceivedAt, Status    string
	Fate                  *struct{ At, By, Reason, EventID string }
	Retry                 *struct{ At, Reason, Field, Detail string }
	Decoded               *struct {
		Text  string
		Place *struct{ From, To, Line, Column int }
	}
}

func readDeadLetter(item jsontext.Value) (d deadLetter, err error) {
	if err = json.Unmarshal(item, &d, json.MatchCaseInsensitiveNames(true)); err != nil {
		err = fmt.Errorf("the API's answer is no dead letter: %w", err)
	}
	return d, err
}

// wrong says what is wrong at a glance.
func (d *deadLetter) wrong() string {
	text := d.Detail
	if d.Field != "" {
		text = d.Field + " " + text
	}
	return text
}

// decision is what a redrive or a dismissal is about.
type decision struct {
	Redrive *int64         `json:"redrive"`
	Total   int64          `json:"total"`
	Reasons map[string]int `json:"reasons"`
	More    bool           `json:"more"`
	Last    *int64         `json:"last"`
}

// decideFlags are those of redrive and dismiss.
type decideFlags struct {
	filter letterFilter
	why    string
	all    bool
	yes    bool
	dryRun bool
}

func (f *decideFlags) add(c *cobra.Command, verb string) {
	f.filter.add(c)
	flags := c.Flags()
	flags.StringVar(&f.why, "why", "", "why, for the record")
	flags.BoolVar(&f.all, "all", false, verb+" all pending dead letters, where no filter is given")
	flags.BoolVar(&f.yes, "yes", false, "do not ask")
	flags.BoolVar(&f.dryRun, "dry-run", false, "say what it would be about, and change nothing")
}

// request is the body without dryRun: for dead letters by id, or by the filter.
func (f *decideFlags) request(c *cobra.Command, args []string) (map[string]any, error) {
	values, err := f.filter.values(c, time.Now())
	if err != nil {
		return nil, err
	}
	if strings.TrimSpace(f.why) == "" {
		return nil, wrongUsage("--why must say why, for the record")
	}
	body := map[string]any{"reason": f.why}
	switch {
	case len(args) > 0 && (len(values) > 0 || f.all):
		return nil, wrongUsage("give ids, or a filter, and not both")
	case len(args) > 0:
		ids := make([]jsontext.Value, len(args))
		for i, arg := range args {
			if ids[i], err = idOf(arg); err != nil {
				return nil, err
			}
		}
		body["ids"] = ids
	case len(values) == 0 && !f.all:
		return nil, wrongUsage("give ids, a filter, or --all")
	default:
		filter := map[string]any{}
		for name, value := range values {
			filter[name] = value
		}
		body["filter"] = filter
	}
	return body, nil
}

func idOf(text string) (jsontext.Value, error) {
	if text == "" || len(text) > 18 || strings.Trim(text, "0123456789") != "" || text[0] == '0' {
		return nil, wrongUsage("%q is no id of a dead letter", text)
	}
	return jsontext.Value(text), nil
}

// decide previews, asks, and then does it, in as many requests as it takes. done is called with each answer.
func (f *decideFlags) decide(c *cobra.Command, api *client.Client, path, verb string, body map[string]any, done func(decision) error) error {
	preview, err := post(c, api, path, body, true)
	if err != nil {
		return err
	}
	more := ""
	if preview.More {
		more = "the first "
	}
	_, _ = fmt.Fprintf(c.ErrOrStderr(), "%s%d dead letters%s\n", more, preview.Total, reasonsOf(preview.Reasons))
	switch {
	case f.dryRun || preview.Total == 0:
		return nil
	case !f.yes:
		if err := confirm(c, verb+" them?"); err != nil {
			return err
		}
	}
	for {
		answer, err := post(c, api, path, body, false)
		if err != nil {
			return err
		}
		if err := done(answer); err != nil || !answer.More {
			return err
		}
		filter, _ := body["filter"].(map[string]any)
		filter["after"] = *answer.Last
	}
}

func post(c *cobra.Command, api *client.Client, path string, body map[string]any, dryRun bool) (d decision, err error) {
	body["dryRun"] = dryRun
	answer, err := api.Post(c.Context(), path, body)
	if err == nil {
		err = json.Unmarshal(answer, &d)
	}
	return d, err
}

func reasonsOf(reasons map[string]int) string {
	if len(reasons) == 0 {
		return ""
	}
	var parts []string
	for _, name := range slices.Sorted(maps.Keys(reasons)) {
		parts = append(parts, fmt.Sprintf("%s %d", name, reasons[name]))
	}
	return ": " + strings.Join(parts, ", ")
}

// confirm asks on the terminal. Without one, --yes is wanted.
func confirm(c *cobra.Command, question string) error {
	if !console.IsTerminal(c.InOrStdin()) {
		return wrongUsage("give --yes where nobody can be asked")
	}
	_, _ = fmt.Fprint(c.ErrOrStderr(), question+" [y/N] ")
	line, _ := bufio.NewReader(c.InOrStdin()).ReadString('\n')
	if answer := strings.ToLower(strings.TrimSpace(line)); answer != "y" && answer != "yes" {
		return errors.New("nothing was changed")
	}
	return nil
}
