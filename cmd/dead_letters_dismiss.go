package cmd

import (
	"encoding/base64"
	"fmt"
	"io"
	"os"

	"github.com/spf13/cobra"

	"audittrail/modules/client"
	"audittrail/platform/console"
)

func newDeadLettersDismissCmd() *cobra.Command {
	c := &cobra.Command{
		Use:   "dismiss [ID…]",
		Short: "Decide that dead letters stay what they are",
		Long: `Dismiss decides for ever that pending dead letters do not become events: those with these ids, or those that
fit the filter. It first says how many there are, and asks. The dead letters stay, with who decided and why.`,
		Example: `  audittrail dead-letters dismiss 17 --why 'a test of the producer'
  audittrail dead-letters dismiss --topic orders --reason empty_value --why 'tombstones mean nothing here' --yes`,
		Args: cobra.ArbitraryArgs,
	}
	var flags decideFlags
	flags.add(c, "dismiss")
	c.RunE = func(c *cobra.Command, args []string) error {
		body, err := flags.request(c, args)
		if err != nil {
			return err
		}
		return withAPI(c, func(api *client.Client) error {
			var n int64
			err := flags.decide(c, api, "/v1/dead-letters/dismiss", "dismiss", body, func(d decision) error {
				n += d.Total
				return nil
			})
			if err != nil || flags.dryRun {
				return err
			}
			_, err = fmt.Fprintf(c.OutOrStdout(), "%s dead letters dismissed\n", console.Grouped(n))
			return err
		})
	}
	return c
}

// maxEdited is what the API takes.
const maxEdited = 750_000

// readValue reads a file into base64.
func readValue(name string) (string, error) {
	f, err := os.Open(name)
	if err != nil {
		return "", err
	}
	defer f.Close()
	value, err := io.ReadAll(io.LimitReader(f, maxEdited+1))
	if err == nil && len(value) > maxEdited {
		err = fmt.Errorf("%s is longer than the %d bytes that the API takes", name, maxEdited)
	}
	return base64.StdEncoding.EncodeToString(value), err
}
