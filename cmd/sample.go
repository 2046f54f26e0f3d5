package cmd

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"

	"audittrail/modules/sample"
	"audittrail/platform/console"
	"audittrail/platform/logging"
)

func newSampleCmd() *cobra.Command {
	c := &cobra.Command{
		Use:   "sample",
		Short: "Publish believable order traffic into a Kafka, to try things with",
		Long: `Sample publishes the orders of a shop to Kafka, with their reservations, payments, shipments, refunds
and some failures, to the topics orders, inventory, payments and shipments. It makes those topics that
do not exist. It is what 'audittrail dev' shows, for a Kafka of your own.

An order is about nine records over some 15 seconds; --interval is the mean time between two orders. A
share of the records is bad (ingest makes dead letters of them), and a share is published twice (ingest
stores it once). Each run invents new orders; the same --seed makes the same shop again. People and
addresses are invented.

It runs until Ctrl-C, or until --records are published. The exit status is 1 where Kafka did not take a
record within a minute. Do not publish to a Kafka whose history matters: what was stored stays.`,
		Example: `  audittrail sample --kafka.brokers 127.0.0.1:9092
  audittrail sample --interval 1ms --records 100000 --bad 0`,
		Args: cobra.NoArgs,
	}
	shop := sample.Shop(time.Now())
	c.Flags().DurationVar(&shop.Interval, "interval", shop.Interval, "mean time between two orders")
	c.Flags().Float64Var(&shop.BadShare, "bad", shop.BadShare, "share of records that ingest must refuse, from 0 to 1")
	c.Flags().Float64Var(&shop.RepeatShare, "repeat", shop.RepeatShare, "share of records that are published twice, from 0 to 1")
	seed := c.Flags().Uint64("seed", 0, "decides everything that is random (default: another one each time)")
	records := c.Flags().Int64("records", 0, "end after this many records (default: at Ctrl-C)")
	partitions := c.Flags().Int32("partitions", sample.Partitions, "of topics that are made")
	output := addOutput(c, "text", "json")
	c.RunE = func(c *cobra.Command, _ []string) error {
		switch {
		case shop.Interval <= 0:
			return wrongUsage("--interval must be more than 0, as 500ms")
		case !isShare(shop.BadShare), !isShare(shop.RepeatShare):
			return wrongUsage("--bad and --repeat must be between 0 and 1")
		case *records < 0:
			return wrongUsage("--records must not be negative")
		case *partitions < 1 || *partitions > maxPartitions:
			return wrongUsage("--partitions must be from 1 to %d", maxPartitions)
		}
		if c.Flags().Changed("seed") {
			shop.Seed = *seed
		}
		return publishSample(c, shop, *partitions, *records, output.value == "json")
	}
	return c
}

func isShare(x float64) bool { return x >= 0 && x <= 1 }

func publishSample(c *cobra.Command, shop sample.Options, partitions int32, records int64, asJSON bool) error {
	cfg, err := loadConfig(c)
	if err != nil {
		return err
	}
	ctx, log := c.Context(), logging.New(c.ErrOrStderr(), cfg.Log)
	if err := sample.MakeTopics(ctx, cfg.Kafka, log, partitions); err != nil {
		return err
	}
	stream, err := sample.Open(cfg.Kafka, log, shop, records)
	if err != nil {
		return err
	}
	telling := console.StartProgress(c.ErrOrStderr(), func() string {
		return console.Counted(stream.Published(), "record is published", "records are published")
	})
	err = stream.Publish(ctx)
	telling.Stop()
	return errors.Join(sampleOutcome(ctx, err, stream, records), sampleSummary(c.OutOrStdout(), stream, asJSON))
}

// sampleOutcome returns what makes the run a failure. Ctrl-C is the usual end of a run without --records.
func sampleOutcome(ctx context.Context, err error, stream *sample.Stream, records int64) error {
	switch failed := stream.Failed(); {
	case err != nil:
		return fmt.Errorf("publish sample: %w", err)
	case failed > 0:
		return fmt.Errorf("%s not taken by Kafka", console.Counted(failed, "record was", "records were"))
	case ctx.Err() != nil && records > 0 && stream.Published() < records:
		return errors.New("interrupted")
	}
	return nil
}

func sampleSummary(w io.Writer, stream *sample.Stream, asJSON bool) error {
	if asJSON {
		return console.PrintJSON(w, struct {
			Published int64    `json:"published"`
			Failed    int64    `json:"failed"`
			Topics    []string `json:"topics"`
		}{stream.Published(), stream.Failed(), sample.Topics()})
	}
	_, err := fmt.Fprintln(w, console.Counted(stream.Published(), "record was published", "records were published"))
	return err
}
