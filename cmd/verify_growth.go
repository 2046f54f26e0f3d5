package cmd

import (
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/spf13/cobra"

	"audittrail/modules/evidence"
	"audittrail/platform/console"
)

// Flags of verify that ask whether a log only ever grew.
const (
	sinceFlag       = "since"
	consistencyFlag = "consistency"
)

func addVerifyGrowthFlags(c *cobra.Command) {
	c.Flags().String(sinceFlag, "", "earlier checkpoint, or evidence with one: is FILE's log that one, and more?")
	c.Flags().String(consistencyFlag, "", "with --since: the proof of consistency from that checkpoint to FILE's, as the API answers it")
}

// growth is what --since and --consistency name.
type growth struct{ since, consistency string }

// growthAsked reads the flags, for the files of a call.
func growthAsked(c *cobra.Command, names []string) (growth, error) {
	var g growth
	var err1, err2 error
	g.since, err1 = c.Flags().GetString(sinceFlag)
	g.consistency, err2 = c.Flags().GetString(consistencyFlag)
	if err := errors.Join(err1, err2); err != nil {
		return growth{}, err
	}
	from := append([]string{g.since, g.consistency}, names...)
	switch {
	case g.since == "" && g.consistency != "":
		return growth{}, wrongUsage("--consistency proves nothing without --since, the earlier checkpoint")
	case g.since != "" && len(names) != 1:
		return growth{}, wrongUsage("--since compares with one FILE")
	case len(slices.DeleteFunc(from, func(name string) bool { return name != "-" })) > 1:
		return growth{}, wrongUsage("standard input can be read once only: give '-' once")
	}
	return g, nil
}

// compare says in the later file's verdict whether its log is the earlier file's, and more.
func (g growth) compare(c *cobra.Command, earlier, later *verdict) error {
	var proof func() (io.ReadCloser, error)
	if g.consistency != "" {
		proof = func() (io.ReadCloser, error) { return console.OpenInput(c.Context(), g.consistency, c.InOrStdin()) }
	}
	err := later.Compare(earlier.Verdict, proof)
	var missing *evidence.MissingProofError
	switch {
	case err == nil:
		return nil
	case errors.As(err, &missing):
		return wrongUsage("--consistency is missing: the file that GET /v1/ledger/%s/consistency?from=%d&to=%d of the API answers",
			missing.Log, missing.From, missing.To)
	case c.Context().Err() != nil:
		return errors.New("interrupted")
	}
	return fmt.Errorf("--consistency: %w", err)
}
