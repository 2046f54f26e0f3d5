package cmd

import (
	"fmt"

	"github.com/spf13/cobra"

	"audittrail/modules/store"
)

// countingRole keeps the rollups.
const countingRole = "audittrail_analytics"

func newStatsRebuildCmd() *cobra.Command {
	c := &cobra.Command{
		Use:   "rebuild",
		Short: "Forget all counts, and have them made again from the first event",
		Long: `Rebuild empties the rollups of the database at postgres.url. The process that leads the role analytics
begins again at the first event within a second; until it is through, counts are too small, and say how many
events they lack. No event is touched. Nothing needs this in ordinary work: a release that counts in another
way begins again by itself.`,
		Example: `  audittrail stats rebuild --postgres.url "$DATABASE_URL"`,
		Args:    cobra.NoArgs,
	}
	c.RunE = func(c *cobra.Command, _ []string) error {
		cfg, err := loadConfig(c)
		if err != nil {
			return err
		}
		pool, err := openStore(c, cfg, "stats-rebuild", countingRole)
		if err != nil {
			return err
		}
		defer pool.Close()
		if err := store.ResetAnalytics(c.Context(), pool); err != nil {
			return err
		}
		_, err = fmt.Fprintln(c.OutOrStdout(), "the rollups are empty; the role analytics counts again from the first event")
		return err
	}
	return c
}
