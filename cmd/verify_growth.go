package cmd

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/spf13/cobra"

	"audittrail/modules/evidence"
	"audittrail/modules/ledger"
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

// compare says in the later file's verdict whether its log is the earlier file's, and more. Where one of
// them did not pass there is nothing to compare.
func (g growth) compare(c *cobra.Command, earlier, later *verdict) error {
	if !earlier.status().passed() || !later.status().passed() {
		return nil
	}
	fault, err := g.fault(c, earlier, later)
	switch {
	case err != nil:
		return err
	case fault != nil:
		later.faults, later.count = append(later.faults, fault), later.count+1
	default:
		later.grewFrom = &earlier.report.Checkpoint.Checkpoint
	}
	return nil
}

// fault says why the later file's log is not shown to be the earlier one's, and more; nil where it is. An error
// is one of the call as a whole.
func (g growth) fault(c *cobra.Command, earlier, later *verdict) (*evidence.Fault, error) {
	from, to := &earlier.report.Checkpoint.Checkpoint, &later.report.Checkpoint.Checkpoint
	switch {
	case to.Origin == "": // an export, which is complete without one, too
		return noCheckpoint("this file"), nil
	case from.Origin == "":
		return noCheckpoint("the earlier file"), nil
	case g.consistency == "" && from.Origin == to.Origin && 0 < from.Size && from.Size < to.Size:
		return nil, wrongUsage("--consistency is missing: the file that GET /v1/ledger/%s/consistency?from=%d&to=%d of the API answers",
			later.report.Log, from.Size, to.Size)
	case g.consistency == "":
		return evidence.GrewFrom(to, from, nil), nil
	}
	p, err := readConsistency(c.Context(), g.consistency, c.InOrStdin())
	var fault *evidence.Fault
	if errors.As(err, &fault) {
		return fault, nil
	}
	if err != nil {
		return nil, err
	}
	return evidence.GrewFrom(to, from, p), nil
}

func noCheckpoint(file string) *evidence.Fault {
	return &evidence.Fault{Kind: evidence.NotConsistent, Index: -1,
		Detail: file + " names no signed checkpoint, so nothing shows that the log only grew"}
}

func readConsistency(ctx context.Context, name string, stdin io.Reader) (ledger.Proof, error) {
	src, err := console.OpenInput(ctx, name, stdin)
	if err != nil {
		return nil, fmt.Errorf("--consistency: %w", err)
	}
	defer src.Close() //nolint:errcheck // it was only read
	p, err := evidence.ReadConsistency(src)
	switch {
	case ctx.Err() != nil:
		return nil, errors.New("interrupted")
	case err != nil:
		return nil, fmt.Errorf("--consistency: %w", explainUnreadable(err))
	}
	return p, nil
}
