package cmd

import (
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/spf13/cobra"

	"audittrail/modules/client"
	"audittrail/platform/console"
)

// redrivePoll is how often redrive asks how far it has come.
const redrivePoll = 500 * time.Millisecond

func newDeadLettersRedriveCmd() *cobra.Command {
	c := &cobra.Command{
		Use:   "redrive [ID…]",
		Short: "Make events of dead letters after all",
		Long: `Redrive has the records of pending dead letters tried again by the rules that hold now: of those with these
ids, or of those that fit the filter. It first says how many there are, and asks. A process with the role
replay carries it out; redrive waits for that and tells what became of them, unless --no-wait.

Each record becomes an event once, whoever redrives it at the same time. One that fails again stays pending:
'dead-letters show' has the reason. --value stores the content of a file in place of the record's own value,
of one dead letter; that wants the permissions deadletters:edit and pii:read. The dead letter stays, and the
event says for ever which one it was, who asked and why.

Exit status 0 if all became events, 1 otherwise.`,
		Example: `  audittrail dead-letters redrive 17 18 --why 'the producer was right, see OPS-12'
  audittrail dead-letters redrive --topic orders --reason too_deep --why 'ingest.max_depth is 64 now'
  audittrail dead-letters redrive 17 --value fixed.json --why 'a missing currency, see OPS-13'`,
		Args: cobra.ArbitraryArgs,
	}
	var flags decideFlags
	flags.add(c, "redrive")
	value := c.Flags().String("value", "", "file with the value to store in place of the record's own")
	noWait := c.Flags().Bool("no-wait", false, "do not wait until it is done")
	c.RunE = func(c *cobra.Command, args []string) error {
		body, err := flags.request(c, args)
		if err != nil {
			return err
		}
		if *value != "" {
			if len(args) != 1 {
				return wrongUsage("--value wants one id")
			}
			if body["value"], err = readValue(*value); err != nil {
				return err
			}
		}
		return withAPI(c, func(api *client.Client) error {
			var total redriveState
			err := flags.decide(c, api, "/v1/dead-letters/redrive", "redrive", body, func(d decision) error {
				if d.Redrive == nil || *noWait {
					return nil
				}
				s, err := awaitRedrive(c, api, *d.Redrive)
				total.add(s)
				return err
			})
			if err != nil || flags.dryRun || *noWait {
				return err
			}
			return total.tell(c)
		})
	}
	return c
}

// redriveState is how far a redrive has come.
type redriveState struct {
	State                                      string
	Total, Stored, Duplicates, Failed, Decided int64
	Failures                                   map[string]int
}

func (s *redriveState) add(o redriveState) {
	s.Total, s.Stored, s.Duplicates = s.Total+o.Total, s.Stored+o.Stored, s.Duplicates+o.Duplicates
	s.Failed, s.Decided = s.Failed+o.Failed, s.Decided+o.Decided
	if s.Failures == nil {
		s.Failures = map[string]int{}
	}
	for reason, n := range o.Failures {
		s.Failures[reason] += n
	}
}

func (s *redriveState) tell(c *cobra.Command) error {
	_, err := fmt.Fprintf(c.OutOrStdout(), "%s became events, %s were stored before, %s failed again%s, %s were decided by others\n",
		console.Grouped(s.Stored), console.Grouped(s.Duplicates), console.Grouped(s.Failed), reasonsOf(s.Failures), console.Grouped(s.Decided))
	if err == nil && s.Failed > 0 {
		err = errors.New("not all dead letters became events: 'audittrail dead-letters list' has the others")
	}
	return err
}

// awaitRedrive waits until a redrive is done.
func awaitRedrive(c *cobra.Command, api *client.Client, id int64) (redriveState, error) {
	var s redriveState
	shown := make(chan string, 1)
	text := "waiting for a process with the role replay"
	telling := console.StartProgress(c.ErrOrStderr(), func() string {
		select {
		case text = <-shown:
		default:
		}
		return text
	})
	defer telling.Stop()
	for {
		answer, err := api.Get(c.Context(), "/v1/dead-letters/redrives/"+strconv.FormatInt(id, 10), nil)
		if err != nil {
			return s, err
		}
		s = redriveState{}
		if err := json.Unmarshal(answer, &s, json.MatchCaseInsensitiveNames(true)); err != nil {
			return s, fmt.Errorf("the API's answer is no redrive: %w", err)
		}
		if s.State == "completed" {
			return s, nil
		}
		if tried := s.Stored + s.Duplicates + s.Failed + s.Decided; tried > 0 {
			select {
			case <-shown:
			default:
			}
			shown <- fmt.Sprintf("%s of %s tried", console.Grouped(tried), console.Grouped(s.Total))
		}
		select {
		case <-c.Context().Done():
			return s, fmt.Errorf("redrive %d goes on without this command: %w", id, c.Context().Err())
		case <-time.After(redrivePoll):
		}
	}
}
