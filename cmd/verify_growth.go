package cmd

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/spf13/cobra"

	"audittrail/modules/ledger"
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

// compare says in the later file's verdict whether its log is the earlier file's, and more. Where one of
// them shows no checkpoint that can be trusted there is nothing to compare.
func (g growth) compare(c *cobra.Command, earlier, later *verdict) error {
	from, to := &earlier.report.Checkpoint.Checkpoint, &later.report.Checkpoint.Checkpoint
	if !earlier.status().passed() || !later.status().passed() || from.Origin == "" || to.Origin == "" {
		return nil
	}
	if g.consistency == "" && from.Origin == to.Origin && from.Size < to.Size {
		return wrongUsage("--consistency is missing: the file that GET /v1/ledger/%s/consistency?from=%d&to=%d of the API answers",
			later.report.Log, from.Size, to.Size)
	}
	var p ledger.Proof
	var err error
	if g.consistency != "" {
		p, err = readConsistency(c.Context(), g.consistency, c.InOrStdin())
	}
	var fault *ledger.Fault
	switch {
	case errors.As(err, &fault):
	case err != nil:
		return err
	default:
		fault = to.GrewFrom(from, p)
	}
	if fault != nil {
		later.faults, later.count = append(later.faults, fault), later.count+1
	} else {
		later.grewFrom = from
	}
	return nil
}

func readConsistency(ctx context.Context, name string, stdin io.Reader) (ledger.Proof, error) {
	src, err := openSource(ctx, name, stdin)
	if err != nil {
		return nil, fmt.Errorf("--consistency: %w", err)
	}
	defer src.Close() //nolint:errcheck // it was only read
	p, err := ledger.ReadConsistency(src)
	switch {
	case ctx.Err() != nil:
		return nil, errors.New("interrupted")
	case err != nil:
		return nil, fmt.Errorf("--consistency: %w", explainUnreadable(err))
	}
	return p, nil
}
