package cmd

import (
	"fmt"
	"os/user"
	"strings"

	"github.com/spf13/cobra"

	"audittrail/modules/event"
	"audittrail/modules/httpapi"
	"audittrail/modules/store"
	"audittrail/platform/kafka"
	"audittrail/platform/logging"
)

func newTopicsAdmitCmd() *cobra.Command {
	c := &cobra.Command{
		Use:   "admit TOPIC",
		Short: "Let ingest go on with a topic that was made again, or a partition that is stopped",
		Long: `Without --partition, admit accepts the topic's present id in Kafka, and ingest reads the topic from the
start of its log. The old topic's accounting stays as it is.

With --partition, ingest goes on with that partition at the offset --from:

  - after the next offset, if Kafka deleted records before they were stored, or records can't be read:
    the offsets in between are accounted for as absent;
  - before the next offset, if Kafka's log was cut and new records have those offsets: the partition is
    accounted for again from there on, and the present accounting stays. Events whose id is already
    stored count as duplicates;
  - at the next offset, if the log was cut and the new records before it are not wanted.

The operator, the time and the reason (--reason) are recorded for ever. Running ingest processes go on
within seconds, without a restart. Their log and /readyz name the next offset and the command to use.`,
		Example: `  audittrail topics admit orders
  audittrail topics admit orders --partition 3 --from 41200 --reason 'retention was too short, see OPS-7'`,
		Args: cobra.ExactArgs(1),
	}
	partition := c.Flags().Int32("partition", -1, "partition to go on with; without it the whole topic is admitted")
	from := c.Flags().Int64("from", -1, "offset to go on at")
	reason := c.Flags().String("reason", "", "why, for the record")
	c.RunE = func(c *cobra.Command, args []string) error {
		one := c.Flags().Changed("partition")
		if one != c.Flags().Changed("from") || one != c.Flags().Changed("reason") {
			return wrongUsage("--partition, --from and --reason belong together")
		}
		if !one {
			return withTopics(c, admittingRole, func(t topicsOf) error { return t.admit(c, args[0]) })
		}
		if *partition < 0 || *from < 0 || strings.TrimSpace(*reason) == "" {
			return wrongUsage("--partition and --from must not be negative, and --reason not empty")
		}
		if !httpapi.IsLine(*reason) {
			return wrongUsage("--reason must be one line of UTF-8, without control characters and those that end a line or change the direction of text")
		}
		at := kafka.TopicPartition{Topic: args[0], Partition: *partition}
		return withTopics(c, admittingRole, func(t topicsOf) error { return t.admitOffset(c, at, *from, *reason) })
	}
	return c
}

// admit lets ingest read a topic under its present id.
func (t topicsOf) admit(c *cobra.Command, name string) error {
	id, err := t.liveID(c, name)
	if err != nil {
		return err
	}
	appender := store.NewAppender(store.AppenderOptions{Pool: t.pool})
	if err := appender.AdmitTopic(c.Context(), name, id, operator()); err != nil {
		return err
	}
	_, err = fmt.Fprintf(c.OutOrStdout(), "%s is admitted as %s; ingest reads it within seconds\n", name, event.ID(id))
	return err
}

// admitOffset lets ingest go on with a partition at an offset.
func (t topicsOf) admitOffset(c *cobra.Command, at kafka.TopicPartition, from int64, reason string) error {
	id, err := t.liveID(c, at.Topic)
	if err != nil {
		return err
	}
	bounds, err := t.bounds(c, at)
	if err != nil {
		return err
	}
	if from < bounds.Start || from > bounds.End {
		return fmt.Errorf("partition %s/%d: offset %d is not in Kafka's log, which goes from %d to %d: choose --from within it",
			at.Topic, at.Partition, from, bounds.Start, bounds.End)
	}
	done, err := store.NewAppender(store.AppenderOptions{Pool: t.pool}).Admit(c.Context(), store.Admission{
		Partition: store.Partition{TopicID: id, Topic: at.Topic, Number: at.Partition},
		To:        from, Reason: reason, By: operator(),
	})
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(c.OutOrStdout(), "%s/%d goes on at offset %d within seconds; %s\n", at.Topic, at.Partition, from, became(done.From, from))
	return err
}

// became says what becomes of the offsets between the next one and the one that was admitted.
func became(next, from int64) string {
	switch {
	case from > next:
		return fmt.Sprintf("the %d offsets from %d on are accounted for as absent", from-next, next)
	case from < next:
		return fmt.Sprintf("it is accounted for anew from there, and what is stored up to %d stays", next)
	}
	return "that its log was cut off is admitted"
}

func (t topicsOf) liveID(c *cobra.Command, name string) (event.TopicID, error) {
	topics, err := t.live(c, []string{name})
	if err != nil {
		return event.TopicID{}, err
	}
	if err := topics[name].Err; err != nil {
		return event.TopicID{}, fmt.Errorf("topic %s: %w", name, err)
	}
	return topics[name].ID, nil
}

// bounds asks the cluster where a partition's log begins and ends.
func (t topicsOf) bounds(c *cobra.Command, at kafka.TopicPartition) (kafka.Bounds, error) {
	client, err := kafka.NewClient(t.cfg.Kafka, "topics", logging.New(c.ErrOrStderr(), t.cfg.Log), nil)
	if err != nil {
		return kafka.Bounds{}, err
	}
	defer client.Close()
	bounds, err := kafka.LogBounds(c.Context(), client, []kafka.TopicPartition{at})
	return bounds[at], err
}

// operator names who runs the command, for the record.
func operator() string {
	if u, err := user.Current(); err == nil {
		return u.Username
	}
	return "unknown"
}
